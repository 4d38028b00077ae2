"""A model and an attribute of its people: what attackers see, and what they read of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recbole.audit.attack import AttackSettings, attack
from recbole.audit.attackers import Features
from recbole.audit.features import LISTS, lists
from recbole.audit.protocols import People
from recbole.evaluator.table import Table
from recbole.utils import UserError, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recbole.data.attributes import UserAttribute
    from recbole.data.dataset import Dataset
    from recbole.evaluator.kinds import Mask, Row
    from recbole.model.abstract_recommender import AbstractRecommender


@dataclass(frozen=True)
class Audited:
    """An attribute of the people of a data set, and who of them is protected.

    Attributes:
        attribute: what attackers read.
        protected: bool [n_users], whose attribute was to be unlearned.
    """

    attribute: UserAttribute
    protected: Mask

    @property
    def n_protected(self) -> int:
        """How many people are protected of whom the attribute is known."""
        return int((self.protected & (self.attribute.label >= 0)).sum())

    def sizes(self) -> dict[str, int]:
        """Return how many people are in each group."""
        counts = np.bincount(self.attribute.label[self.attribute.known], minlength=len(self.attribute.groups))
        return dict(zip(self.attribute.groups, map(int, counts), strict=True))

    def __str__(self) -> str:
        return f"{self.attribute}; {self.n_protected} are protected"

    @property
    def people(self) -> People:
        """The people as attacks take them."""
        return People(self.attribute.label, self.protected, self.attribute.groups)

    def rows(self, views: Mapping[str, Features], settings: AttackSettings) -> list[Row]:
        """Attack, and return the rows of the result table, the attribute's name in ``split``."""
        return self.named(attack(views, self.people, settings))

    def named(self, rows: list[Row]) -> list[Row]:
        """Return rows with the attribute's name."""
        table = Table(split=self.attribute.name)
        table.extend(rows)
        return table.rows


def everybody(attribute: UserAttribute) -> Audited:
    """Return an attribute of people who are all protected."""
    return Audited(attribute, np.ones(len(attribute.label), dtype=bool))


def views_of(model: AbstractRecommender, dataset: Dataset, wanted: Sequence[str] | None = None) -> dict[str, Features]:
    """Return what attackers see of people in a model: its user views, and the lists that it recommends.

    Args:
        model: whose.
        dataset: under the model's mask.
        wanted: names of views; all by default.

    Raises:
        UserError: there is no such view, or it holds what is no number.
    """
    model.eval()
    made = model.user_views(dataset)
    known = (*made, LISTS)
    for name in wanted or ():
        if name not in known:
            raise UserError(
                f"{type(model).__name__} has no view '{name}'{suggest(name, known)}; it has {', '.join(known)}"
            )
    found = {}
    for name in known if wanted is None else dict.fromkeys(wanted):
        if name == LISTS:
            found[name] = lists(model, dataset)
            continue
        matrix = made[name].values().cpu().numpy().astype(np.float64)
        if not np.isfinite(matrix[1:]).all():
            raise UserError(
                f"the view '{name}' of the {type(model).__name__} holds what is no number: nothing to attack"
            )
        found[name] = Features(matrix)
    return found
