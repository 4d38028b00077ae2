"""Requests to unlearn an attribute of users, such as gender, instead of forgetting interactions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole.data.attributes import UserAttribute
from recbole.unlearning.request import Request, Requests

_NO_ROWS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class AttributeRequest(Request):
    """A request by some users to unlearn one of their attributes from the model. No interaction is forgotten.

    A user whose attribute the model has to unlearn is called protected.

    Attributes:
        attribute: the attribute, with the group (such as an age group) of every user.
        arrived: int64, ids of all users who are protected after this request: those who submitted earlier requests for
            the same attribute, and then those who submit this one. The requests of a run share the memory of one array.
    """

    attribute: UserAttribute
    arrived: np.ndarray

    @property
    def protected(self) -> np.ndarray:
        """Ids of all users who are protected after this request, int64, ascending."""
        return np.sort(self.arrived)

    @property
    def groups(self) -> list[np.ndarray]:
        """One array of ids of protected users (int64, ascending) for each group; groups without any are left out.

        The order is that of ``attribute.groups``.
        """
        protected = self.protected
        label = self.attribute.label[protected]
        found = [protected[label == group] for group in range(len(self.attribute.groups))]
        return [people for people in found if len(people)]


@dataclass(frozen=True)
class AttributeRequests(Requests):
    """All attribute requests of a run, in their order: first those for the first attribute, then for the next.

    Attributes:
        pieces: the requests. Each one protects the users of the previous one for the same attribute, and further ones.
    """

    pieces: tuple[AttributeRequest, ...] = ()

    def __getitem__(self, index: int) -> AttributeRequest:
        return self.pieces[index]

    def chosen(self, places: Sequence[int]) -> "AttributeRequests":
        """Return the requests at some positions (from 0), in the given order. Their ``index`` does not change."""
        return _of_pieces(tuple(self.pieces[at] for at in places))

    def protected(self, n_done: int) -> np.ndarray:
        """Return the ids (int64, ascending) of the users whom any of the first ``n_done`` requests protects."""
        most: dict[str, np.ndarray] = {}
        for piece in self.pieces[:n_done]:
            name = piece.attribute.name
            most[name] = max(most.get(name, _NO_ROWS), piece.arrived, key=len)
        return np.unique(np.concatenate([_NO_ROWS, *most.values()]))

    def report(self) -> str:
        """Return one line for the log: the number of requests, and of users protected in the end in each attribute."""
        last = {piece.attribute.name: piece for piece in self.pieces}
        parts = [f"{len(piece.arrived)} users ({piece.attribute})" for piece in last.values()]
        return f"{len(self)} requests protect " + "; ".join(parts)


def attribute_requests(
    attributes: Sequence[UserAttribute], order: np.ndarray, n_protected: int, n_batches: int
) -> AttributeRequests:
    """Return the requests of a run to unlearn attributes of users, ``n_batches`` for each attribute.

    Args:
        attributes: the attributes, in the order of their requests.
        order: int64, all user ids in the order in which users ask to be protected, the same for all attributes.
        n_protected: the first ``n_protected`` users of ``order`` ask to be protected, in every attribute. For each
            attribute, those of them whose group is not known are then left out.
        n_batches: number of requests for each attribute; its users are divided evenly among them.
    """
    pieces: list[AttributeRequest] = []
    for attribute in attributes:
        people = order[:n_protected]
        people = people[attribute.label[people] >= 0]
        sizes = np.cumsum([len(part) for part in np.array_split(people, n_batches)])
        for at, size in enumerate(sizes, start=1):
            entity = f"{attribute.name} {at}/{n_batches}"
            pieces.append(AttributeRequest(len(pieces), entity, _NO_ROWS, attribute=attribute, arrived=people[:size]))
    return _of_pieces(tuple(pieces))


def _of_pieces(pieces: tuple[AttributeRequest, ...]) -> AttributeRequests:
    """Return :class:`AttributeRequests` of the given requests; their SHA-256 covers all labels and protected users."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece.attribute.sha256.encode() + piece.protected.astype("<i8").tobytes())
    offsets, known = np.zeros(len(pieces) + 1, dtype=np.int64), np.ones(len(pieces), dtype=bool)
    names = [piece.entity for piece in pieces]
    return AttributeRequests(names, _NO_ROWS, offsets, known, 0, digest.hexdigest(), pieces)
