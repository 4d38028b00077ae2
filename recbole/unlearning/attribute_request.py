"""Requests that name an attribute of people, and no row of the log."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole.data.attributes import UserAttribute
from recbole.unlearning.request import Request, Requests

_NO_ROWS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class AttributeRequest(Request):
    """The wish of some people that an attribute of theirs be unreadable; nothing leaves the data.

    Attributes:
        attribute: which, with everybody's group.
        protected: int64 ids, ascending: these people, and those who asked before them for the same attribute.
    """

    attribute: UserAttribute
    protected: np.ndarray

    @property
    def groups(self) -> list[np.ndarray]:
        """The protected people of each group of whom there are any, int64 ids, in the order of the groups."""
        label = self.attribute.label[self.protected]
        found = [self.protected[label == group] for group in range(len(self.attribute.groups))]
        return [people for people in found if len(people)]


@dataclass(frozen=True)
class AttributeRequests(Requests):
    """Requests for one attribute after another, in each of which people arrive in batches.

    Attributes:
        pieces: the requests, in their order.
    """

    pieces: tuple[AttributeRequest, ...] = ()

    def __getitem__(self, index: int) -> AttributeRequest:
        return self.pieces[index]

    def chosen(self, places: Sequence[int]) -> "AttributeRequests":
        """Return the requests at some places, in that order, as they are."""
        return _of_pieces(tuple(self.pieces[at] for at in places))

    def protected(self, n_done: int) -> np.ndarray:
        """Return whom the first ``n_done`` requests protect, in whatever attribute, int64 ids, ascending."""
        return np.unique(np.concatenate([_NO_ROWS, *(piece.protected for piece in self.pieces[:n_done])]))

    def report(self) -> str:
        """Return one line about who is protected in what."""
        last = {piece.attribute.name: piece for piece in self.pieces}
        told = [f"{len(piece.protected)} people ({piece.attribute})" for piece in last.values()]
        return f"{len(self)} requests protect " + "; ".join(told)


def attribute_requests(
    attributes: Sequence[UserAttribute], order: np.ndarray, n_protected: int, n_batches: int
) -> AttributeRequests:
    """Return the requests of a run.

    Args:
        attributes: one after another.
        order: int64, everybody in the order in which they arrive, the same for all attributes.
        n_protected: how many of them are protected, the first ones; of these, people whose group is not known are not.
        n_batches: in how many requests they arrive, for each attribute.
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
    """Return the requests, with the SHA-256 of all labels and of who is protected at each of them."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece.attribute.sha256.encode() + piece.protected.astype("<i8").tobytes())
    offsets, known = np.zeros(len(pieces) + 1, dtype=np.int64), np.ones(len(pieces), dtype=bool)
    names = [piece.entity for piece in pieces]
    return AttributeRequests(names, _NO_ROWS, offsets, known, 0, digest.hexdigest(), pieces)
