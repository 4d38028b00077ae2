"""An attribute and the users who have it, and the views of them that an attacker gets from a model."""

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
    """A user attribute in a data set, and which users are protected.

    Attributes:
        attribute: the attribute that attackers predict.
        protected: bool [n_users], whether a user's attribute was to be unlearned.
    """

    attribute: UserAttribute
    protected: Mask

    @property
    def n_protected(self) -> int:
        """The number of protected users whose attribute is known."""
        return int((self.protected & (self.attribute.label >= 0)).sum())

    def sizes(self) -> dict[str, int]:
        """Return the number of users in each group, by group name."""
        counts = np.bincount(self.attribute.label[self.attribute.known], minlength=len(self.attribute.groups))
        return dict(zip(self.attribute.groups, map(int, counts), strict=True))

    def __str__(self) -> str:
        return f"{self.attribute}; {self.n_protected} are protected"

    @property
    def people(self) -> People:
        """The users in the form that :func:`attack` takes."""
        return People(self.attribute.label, self.protected, self.attribute.groups)

    def rows(self, views: Mapping[str, Features], settings: AttackSettings) -> list[Row]:
        """Run the attacks and return rows of the result table, with the attribute's name in the column ``split``."""
        return self.named(attack(views, self.people, settings))

    def named(self, rows: list[Row]) -> list[Row]:
        """Return the rows with the attribute's name in the column ``split``."""
        table = Table(split=self.attribute.name)
        table.extend(rows)
        return table.rows


def everybody(attribute: UserAttribute) -> Audited:
    """Return an attribute with all users protected."""
    return Audited(attribute, np.ones(len(attribute.label), dtype=bool))


def views_of(model: AbstractRecommender, dataset: Dataset, wanted: Sequence[str] | None = None) -> dict[str, Features]:
    """Return what attackers see of each user in a model: its user views, such as embeddings, and its recommended lists.

    Args:
        model: the model under attack.
        dataset: the data, with the model's mask of forgotten rows.
        wanted: names of views; None returns all.

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
                f"the view '{name}' of the {type(model).__name__} contains NaN or infinity: it cannot be attacked"
            )
        found[name] = Features(matrix)
    return found
