"""Requests of the attribute scenario: to unlearn an attribute of users, such as gender, instead of forgetting rows."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole.data.attributes import UserAttribute
from recbole.unlearning.request import Request, Requests

_NO_ROWS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class AttributeRequest(Request):
    """A request by some users to unlearn one of their attributes from the model. No row of the data is forgotten.

    Attributes:
        attribute: the attribute, with the group (such as an age group) of every user.
        protected: int64 user ids, ascending, of the users who are protected after this request: those who submit it,
            and those of earlier requests for the same attribute.
    """

    attribute: UserAttribute
    protected: np.ndarray

    @property
    def groups(self) -> list[np.ndarray]:
        """The protected users' ids (int64, ascending) by group, in the order of the groups; empty ones are left out."""
        label = self.attribute.label[self.protected]
        found = [self.protected[label == group] for group in range(len(self.attribute.groups))]
        return [people for people in found if len(people)]


@dataclass(frozen=True)
class AttributeRequests(Requests):
    """The requests of a run: several for the first attribute, each adding protected users, then for the next one.

    Attributes:
        pieces: the requests, in their order.
    """

    pieces: tuple[AttributeRequest, ...] = ()

    def __getitem__(self, index: int) -> AttributeRequest:
        return self.pieces[index]

    def chosen(self, places: Sequence[int]) -> "AttributeRequests":
        """Return the requests at some positions (from 0), in the given order. Each keeps its own index."""
        return _of_pieces(tuple(self.pieces[at] for at in places))

    def protected(self, n_done: int) -> np.ndarray:
        """Return the users whom the first ``n_done`` requests protect, in any attribute.

        Returns:
            User ids, int64, ascending.
        """
        return np.unique(np.concatenate([_NO_ROWS, *(piece.protected for piece in self.pieces[:n_done])]))

    def report(self) -> str:
        """Return one line for the log: the number of requests, and of users who are protected in each attribute."""
        last = {piece.attribute.name: piece for piece in self.pieces}
        parts = [f"{len(piece.protected)} users ({piece.attribute})" for piece in last.values()]
        return f"{len(self)} requests protect " + "; ".join(parts)


def attribute_requests(
    attributes: Sequence[UserAttribute], order: np.ndarray, n_protected: int, n_batches: int
) -> AttributeRequests:
    """Return the requests of a run, ``n_batches`` for each attribute.

    Args:
        attributes: the attributes, in the order in which they are protected.
        order: int64, all user ids in the order in which users submit requests, the same for all attributes.
        n_protected: number of users, from the start of ``order``, who are protected in the end. Users whose group is
            not known are left out.
        n_batches: number of requests for each attribute, among which its users are divided evenly.
    """
    pieces: list[AttributeRequest] = []
    for attribute in attributes:
        people = order[:n_protected]
        arriving = np.array_split(people[attribute.label[people] >= 0], n_batches)
        for at in range(n_batches):
            protected = np.sort(np.concatenate(arriving[: at + 1]))
            entity = f"{attribute.name} {at + 1}/{n_batches}"
            pieces.append(AttributeRequest(len(pieces), entity, _NO_ROWS, attribute=attribute, protected=protected))
    return _of_pieces(tuple(pieces))


def _of_pieces(pieces: tuple[AttributeRequest, ...]) -> AttributeRequests:
    """Wrap requests in :class:`AttributeRequests`, with a SHA-256 of all labels and all protected users."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece.attribute.sha256.encode() + piece.protected.astype("<i8").tobytes())
    offsets, known = np.zeros(len(pieces) + 1, dtype=np.int64), np.ones(len(pieces), dtype=bool)
    names = [piece.entity for piece in pieces]
    return AttributeRequests(names, _NO_ROWS, offsets, known, 0, digest.hexdigest(), pieces)
