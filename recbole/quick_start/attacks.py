"""Attribute-inference attacks in a run of attribute unlearning: on its base model and on every checkpoint."""

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
    """Check before any work that the attacks of a run are possible.

    Raises:
        UserError: ``attack_seeds`` is negative, or attacks are due and scikit-learn is not installed.
    """
    if config["attack_seeds"] < 0:
        raise UserError(f"--attack_seeds should be 0 or more, not {config['attack_seeds']}")
    if scenario.kind != "attribute" or not config["attack_seeds"]:
        return
    try:
        check_installed()
    except UserError as error:
        raise UserError(f"{error}; --attack_seeds 0 skips the attacks") from error


@dataclass(frozen=True)
class Attacks:
    """The attribute-inference attacks of one run, with a cache of their results.

    Attributes:
        setup: data, requests and settings of the run.
        settings: protocols, attackers, seeds and folds.
        found: dict from (kind of model, number of processed requests) to the result rows of its attacks.
    """

    setup: Setup
    settings: AttackSettings
    found: dict[tuple[str, int], list[Row]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, setup: Setup) -> Attacks:
        """Return the attacks of a run: the default protocols and attackers, with ``attack_seeds`` draws of folds."""
        return cls(setup, AttackSettings(seeds=setup.config["attack_seeds"]))

    def on(self, model: AbstractRecommender, state: State, kind: str, /, **about: Any) -> list[Row]:
        """Attack a model for each attribute that is protected in a state, and return rows of the result table.

        Results are kept per kind of model and number of requests: if two checkpoints have the same number of requests,
        the second one reuses the rows of the first.

        Args:
            model: the base model or an unlearned model.
            state: gives the protected users and the checkpoint number of the rows.
            kind: the kind of model, ``base`` or ``unlearned``.
            about: values for further columns of the rows.

        Returns:
            The rows; an empty list if nothing is protected or ``attack_seeds`` is 0.
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
                logger.info("%s: attack %s is not possible: %s", audited.attribute.name, protocol, reason)
            rows += audited.rows(views, self.settings)
        return rows


def protections(setup: Setup, state: State) -> list[Audited]:
    """Return the attributes that the requests processed in a state protect, each with its protected users."""
    requests, found = setup.requests, {}
    if isinstance(requests, AttributeRequests) and state.done is not None:
        for piece in requests.pieces[: state.done.count]:
            protected = np.zeros(setup.dataset.n_users, dtype=bool)
            protected[piece.protected] = True
            found[piece.attribute.name] = Audited(piece.attribute, protected)
    return list(found.values())


def audited_in(setup: Setup, state: State, name: str) -> Audited:
    """Return a user attribute with the users whom a state protects in it, or with all users if it protects none.

    Raises:
        UserError: the data set has no such attribute.
    """
    protected = {audited.attribute.name: audited for audited in protections(setup, state)}
    return protected[name] if name in protected else everybody(read_attribute(setup.config, setup.dataset, name))
