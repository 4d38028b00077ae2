"""Attacks on the models of a run that unlearns a user attribute: on the base model and on each unlearned model.

An attacker is a classifier that infers the attribute from what a model says about the users, such as their embeddings.
"""

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
    """Check, before any work, that an unlearning run can attack its models at the end.

    A run attacks its models only if it unlearns a user attribute and ``attack_seeds`` is above 0.

    Args:
        config: the run's settings.
        scenario: what the run's requests ask to forget: interactions or a user attribute.

    Raises:
        UserError: ``attack_seeds`` is negative; or the run attacks its models, and scikit-learn is not installed.
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
        settings: the protocols (whose attributes the attacker knows), the attackers (classifiers), the number of seeds
            and of folds.
        found: the cache: dict from (kind of model, number of processed requests) to the result rows of the attacks.
    """

    setup: Setup
    settings: AttackSettings
    found: dict[tuple[str, int], list[Row]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, setup: Setup) -> Attacks:
        """Return the attacks of a run, with the default protocols and attackers.

        The setting ``attack_seeds`` says how many times the users are divided into folds at random.
        """
        return cls(setup, AttackSettings(seeds=setup.config["attack_seeds"]))

    def on(self, model: AbstractRecommender, state: State, kind: str, /, **about: Any) -> list[Row]:
        """Attack a model for each user attribute that the requests so far asked to unlearn.

        If two checkpoints come after the same number of requests, the second one gets the results of the first.

        Args:
            model: the model to attack, a base model or an unlearned model.
            state: says how many requests have been processed. The users of these requests count as protected: they are
                the users whose attribute was to be unlearned. The state also has the checkpoint number for the rows.
            kind: the kind of model, ``base`` or ``unlearned``.
            about: values for further columns of the rows.

        Returns:
            Rows of the result table; an empty list if no request has been processed or ``attack_seeds`` is 0.
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
    """Return the user attributes that the requests processed so far asked to unlearn.

    Args:
        setup: the run's requests and data.
        state: says how many of the requests have been processed.

    Returns:
        One element per attribute, with the users whose attribute was to be unlearned (protected users). Empty if the
        run's requests do not concern attributes.
    """
    requests, found = setup.requests, {}
    if isinstance(requests, AttributeRequests) and state.done is not None:
        for piece in requests.pieces[: state.done.count]:
            protected = np.zeros(setup.dataset.n_users, dtype=bool)
            protected[piece.protected] = True
            found[piece.attribute.name] = Audited(piece.attribute, protected)
    return list(found.values())


def audited_in(setup: Setup, state: State, name: str) -> Audited:
    """Return a user attribute together with the users whose attribute was to be unlearned (protected users).

    Args:
        setup: the run's requests and data.
        state: says how many of the requests have been processed.
        name: the attribute's name. If no processed request concerns this attribute, all users count as protected.

    Raises:
        UserError: the data set has no such attribute.
    """
    protected = {audited.attribute.name: audited for audited in protections(setup, state)}
    return protected[name] if name in protected else everybody(read_attribute(setup.config, setup.dataset, name))
