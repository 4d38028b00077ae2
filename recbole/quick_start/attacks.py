"""The attacks of a run that makes attributes of people unreadable: on its base, and on every checkpoint."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole.audit.attack import AttackSettings, infeasible
from recbole.audit.attackers import check_installed
from recbole.audit.audited import Audited, everybody, views_of
from recbole.data.attributes import read_attribute
from recbole.evaluator.table import Table
from recbole.unlearning.attribute_request import AttributeRequests
from recbole.utils import UserError

if TYPE_CHECKING:
    from recbole.audit.attackers import Features
    from recbole.config import Config
    from recbole.evaluator.kinds import Row
    from recbole.model.abstract_recommender import AbstractRecommender
    from recbole.quick_start.setup import Setup
    from recbole.scenario.base import Scenario
    from recbole.trainer.state import State

logger = logging.getLogger("recbole")


def check_attacks(config: Config, scenario: Scenario) -> None:
    """Find out, before any work, whether what a run is to attack with can be had.

    Raises:
        UserError: ``attack_seeds`` is no number of times, or scikit-learn is missing.
    """
    if config["attack_seeds"] < 0:
        raise UserError(f"--attack_seeds should be 0 or more, not {config['attack_seeds']}")
    if scenario.kind != "attribute" or not config["attack_seeds"]:
        return
    try:
        check_installed()
    except UserError as error:
        raise UserError(f"{error}; --attack_seeds 0 attacks nothing") from error


@dataclass(frozen=True)
class Attacks:
    """What a run attacks, and how.

    Attributes:
        setup: the run's.
        settings: how.
        found: the rows of what was attacked, by the kind of model and the number of requests that it is of.
    """

    setup: Setup
    settings: AttackSettings
    found: dict[tuple[str, int], list[Row]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, setup: Setup) -> Attacks:
        """Return the attacks of a run: those of the default protocols, ``attack_seeds`` times."""
        return cls(setup, AttackSettings(seeds=setup.config["attack_seeds"]))

    def on(self, model: AbstractRecommender, state: State, kind: str, /, **about: Any) -> list[Row]:
        """Attack a model in each attribute that is protected in a state, and return rows of the result table.

        The last two of four checkpoints may be of the same requests: the second is then not attacked again.

        Args:
            model: any model of the run.
            state: whose protected people are attacked; also the rows' checkpoint.
            kind: of the model, ``base`` or ``unlearned``.
            about: columns of the rows.
        """
        audits = protections(self.setup, state) if self.settings.seeds else []
        if not audits or state.done is None:
            return []
        key, table = (kind, state.done.count), Table(**about, model=kind)
        if key not in self.found:
            self.found[key] = self._attacked(views_of(model, state.data), audits)
        table.extend(row | {"checkpoint": state.checkpoint} for row in self.found[key])
        return table.rows

    def _attacked(self, views: dict[str, Features], audits: list[Audited]) -> list[Row]:
        rows: list[Row] = []
        for audited in audits:
            for protocol, reason in infeasible(audited.people, self.settings).items():
                logger.info("%s: no attack %s: %s", audited.attribute.name, protocol, reason)
            rows += audited.rows(views, self.settings)
        return rows


def protections(setup: Setup, state: State) -> list[Audited]:
    """Return each attribute in which a state protects people, with who they are; none where it protects nobody."""
    requests, found = setup.requests, {}
    if isinstance(requests, AttributeRequests) and state.done is not None:
        for piece in requests.pieces[: state.done.count]:
            protected = np.zeros(setup.dataset.n_users, dtype=bool)
            protected[piece.protected] = True
            found[piece.attribute.name] = Audited(piece.attribute, protected)
    return list(found.values())


def audited_in(setup: Setup, state: State, name: str) -> Audited:
    """Return an attribute of a data set's people, and who of them a state protects; everybody where it protects none.

    Raises:
        UserError: there is no such attribute.
    """
    protected = {audited.attribute.name: audited for audited in protections(setup, state)}
    return protected[name] if name in protected else everybody(read_attribute(setup.config, setup.dataset, name))
