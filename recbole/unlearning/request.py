"""Deletion requests: which user (or session) submits a request, and which interactions it asks to forget."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole.data import Dataset
from recbole.data.ids import distinct, held, without
from recbole.data.log import InteractionLog
from recbole.utils import UserError


@dataclass(frozen=True)
class Request:
    """The deletion request of one user (SBR: session).

    Attributes:
        index: position in the fixed order of requests, from 0.
        entity: raw token of the user (SBR: session), as the data files spell it.
        rows: int64, the interactions to forget as row indices of the log, from training, validation and test data.
            Empty if the user is not in the data, or none of the interactions.
        unknown: why ``rows`` is empty, as text; an empty string if there are rows.
    """

    index: int
    entity: str
    rows: np.ndarray
    unknown: str = ""


@dataclass(frozen=True)
class Requests:
    """All n requests of a forget set (a file that lists what users ask to forget). Indexing returns a :class:`Request`.

    Attributes:
        entities: raw tokens of the users (SBR: sessions), one for each request, in the order of the requests.
        rows: int64, the interactions to forget as row indices of the log, those of all requests concatenated.
        offsets: int64 [n + 1]; request ``i`` forgets ``rows[offsets[i]:offsets[i + 1]]``.
        known: bool [n], whether the user (SBR: session) of each request is in the data.
        unknown_pairs: number of (user, item) pairs of the forget set that are not in the data.
        sha256: SHA-256 of the forget set's file.
    """

    entities: list[str]
    rows: np.ndarray
    offsets: np.ndarray
    known: np.ndarray
    unknown_pairs: int
    sha256: str

    def __len__(self) -> int:
        return len(self.entities)

    def __getitem__(self, index: int) -> Request:
        rows = self.rows[self.offsets[index] : self.offsets[index + 1]]
        absent = "item" if self.known[index] else "user (session)"
        return Request(index, self.entities[index], rows, "" if len(rows) else f"no such {absent} in the data")

    def between(self, start: int, stop: int) -> list[Request]:
        """Return requests ``start`` to ``stop - 1``."""
        return [self[index] for index in range(start, stop)]

    def chosen(self, places: Sequence[int]) -> "Requests":
        """Return some of the requests, in the given order. Each gets its new position as ``index``.

        Args:
            places: current positions of the requests, from 0, at least one.
        """
        rows = [self[at].rows for at in places]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in rows])]).astype(np.int64)
        names, known = [self.entities[at] for at in places], self.known[np.asarray(places)]
        return Requests(names, np.concatenate(rows), offsets, known, self.unknown_pairs, self.sha256)

    def mask(self, n_done: int, n_rows: int) -> np.ndarray:
        """Return for each row of the log whether one of the first ``n_done`` requests forgets it, bool [n_rows].

        Args:
            n_done: number of requests.
            n_rows: number of rows (interactions) of the log.
        """
        forgotten = np.zeros(n_rows, dtype=bool)
        forgotten[self.rows[: self.offsets[n_done]]] = True
        return forgotten

    def report(self) -> str:
        """Return one line of text: the numbers of requests, of interactions to forget, and of those not in the data."""
        lost = int((~self.known).sum())
        text = f"{len(self)} requests, {len(self.rows)} interactions to forget"
        if lost or self.unknown_pairs:
            text += f"; not in the data, skipped: {lost} users (sessions), {self.unknown_pairs} (user, item) pairs"
        return text


def find_requests(
    dataset: Dataset,
    entities: Sequence[str],
    items: Sequence[str | None],
    ordered: Sequence[str],
    sha256: str,
    listed: np.ndarray | None = None,
) -> Requests:
    """Look up the (user, item) pairs of a forget set in the data, and return one deletion request per user.

    A request forgets all interactions of the user with the items of the user's pairs.

    Args:
        dataset: the data.
        entities: for each pair, the raw token of the user (SBR: session).
        items: for each pair, the raw token of the item; ``None`` stands for all items in ``listed``.
        ordered: the distinct tokens of ``entities``, in the order of the requests.
        sha256: SHA-256 of the forget set's file.
        listed: bool [n_items], True for the items (such as those of a sensitive category) that ``None`` stands for; not
            needed if no item is ``None``.

    Returns:
        One request for each token in ``ordered``, including those that are not in the data.

    Raises:
        UserError: the forget set is empty, or none of its pairs is in the data.
    """
    log = dataset.log
    if not len(ordered):
        raise UserError("the forget set is empty: there is nothing to unlearn")
    user_of = log.vocabulary["user"].ids(ordered)
    place = np.full(dataset.n_users, -1)
    place[user_of[user_of >= 0]] = np.flatnonzero(user_of >= 0)
    users, wanted = log.vocabulary["user"].ids(entities), _item_ids(log, items)
    known = (users >= 0) & (wanted >= 0)
    n_items = dataset.n_items
    pairs = distinct(users[known] * n_items + wanted[known])
    rows = log.rows_of(distinct(users[known]))
    keys = log.user[rows] * n_items + log.item[rows]
    hit = held(keys, pairs)
    if listed is not None:  # item id 0 stands for all listed items
        hit |= listed[log.item[rows]] & held(log.user[rows] * n_items, pairs)
    rows, keys = rows[hit], keys[hit]
    if not len(rows):
        raise UserError(
            "none of the forget set's (user, item) or (session, item) pairs is in the data: it belongs to another data "
            "set, or filters of this run removed its interactions"
        )
    order = np.argsort(place[log.user[rows]], kind="stable")
    counts = np.bincount(place[log.user[rows]], minlength=len(ordered))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    missing = int((~known).sum()) + len(without(pairs[pairs % n_items > 0], distinct(keys)))
    return Requests(list(ordered), rows[order], offsets, user_of >= 0, missing, sha256)


def requests_of(dataset: Dataset, entities: Sequence[str], sha256: str) -> Requests:
    """Return one request for each of some users (SBR: sessions) to forget all interactions of the user.

    Args:
        dataset: the data.
        entities: raw tokens of the users, all of which are in the data, in the order of the requests.
        sha256: SHA-256 of the file from which the tokens were read.
    """
    users = dataset.log.vocabulary["user"].ids(entities)
    offsets = np.concatenate([[0], np.cumsum(np.diff(dataset.log.offsets)[users])])
    return Requests(list(entities), dataset.log.rows_of(users), offsets, np.ones(len(users), dtype=bool), 0, sha256)


def _item_ids(log: InteractionLog, items: Sequence[str | None]) -> np.ndarray:
    """Return the item id of each raw item token, int64: -1 for a token that is not in the data, 0 for ``None``."""
    ids = log.vocabulary["item"].ids([item if item is not None else "" for item in items])
    return np.where([item is None for item in items], 0, ids)
