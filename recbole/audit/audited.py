"""A user attribute that attackers predict, and the features of users (views) that attackers get from a model."""

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
    """A user attribute in a data set, and the users for whom it was to be unlearned (the protected users).

    Attributes:
        attribute: the attribute that attackers predict, with the group of each user.
        protected: bool [n_users], True for protected users.
    """

    attribute: UserAttribute
    protected: Mask

    @property
    def n_protected(self) -> int:
        """The number of protected users whose group is known."""
        return int((self.protected & (self.attribute.label >= 0)).sum())

    def sizes(self) -> dict[str, int]:
        """Return the number of users in each group: group name to number.

        Users whose group is unknown are not counted.
        """
        counts = np.bincount(self.attribute.label[self.attribute.known], minlength=len(self.attribute.groups))
        return dict(zip(self.attribute.groups, map(int, counts), strict=True))

    def __str__(self) -> str:
        return f"{self.attribute}; {self.n_protected} are protected"

    @property
    def people(self) -> People:
        """The users, in the form that :func:`~recbole.audit.attack.attack` takes."""
        return People(self.attribute.label, self.protected, self.attribute.groups)

    def rows(self, views: Mapping[str, Features], settings: AttackSettings) -> list[Row]:
        """Run attacks, and return rows of the result table with the attribute's name in the column ``split``.

        Args:
            views: view name to features, one row per user id.
            settings: protocols, attackers, seeds and folds.

        Raises:
            UserError: a protocol is unknown.
        """
        return self.named(attack(views, self.people, settings))

    def named(self, rows: list[Row]) -> list[Row]:
        """Return the given rows of the result table with the attribute's name in the column ``split``."""
        table = Table(split=self.attribute.name)
        table.extend(rows)
        return table.rows


def everybody(attribute: UserAttribute) -> Audited:
    """Return an :class:`Audited` for the attribute in which all users are protected."""
    return Audited(attribute, np.ones(len(attribute.label), dtype=bool))


def views_of(model: AbstractRecommender, dataset: Dataset, wanted: Sequence[str] | None = None) -> dict[str, Features]:
    """Return the features of users that attackers get from a model.

    These are the model's user views (matrices that represent users, such as embeddings) and its recommended lists.

    Args:
        model: the model under attack, which is set to evaluation mode.
        dataset: the data, with the mask of rows that the model has forgotten.
        wanted: names of views, among them ``lists`` for the recommended lists; None returns all.

    Returns:
        View name to features, one row per user id.

    Raises:
        UserError: there is no such view, or it contains NaN or infinity.
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
                f"no attack on the view '{name}' of the {type(model).__name__}: it contains NaN or infinity, so "
                "training or unlearning has diverged"
            )
        found[name] = Features(matrix)
    return found
