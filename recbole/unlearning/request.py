"""A request is a value: who asks, and which rows of the log are to be forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole.data import Dataset
from recbole.data.ids import distinct, held, without
from recbole.data.log import InteractionLog
from recbole.utils import UserError


@dataclass(frozen=True)
class Request:
    """One person's (or session's) wish.

    Attributes:
        index: its place in the fixed order, from 0.
        entity: the raw token of the user or session.
        rows: int64, the log rows to forget, in every split; empty when the entity or all of its items are unknown.
        unknown: why nothing of it is in the data, or an empty string.
    """

    index: int
    entity: str
    rows: np.ndarray
    unknown: str = ""


@dataclass(frozen=True)
class Requests:
    """All requests of a forget set, in their order.

    Attributes:
        entities: raw tokens, in order.
        rows: int64, the rows of all requests, one request after the other.
        offsets: int64 [n + 1] into ``rows``.
        known: bool [n], whether the entity is in the data.
        unknown_pairs: how many listed (entity, item) pairs the data does not hold.
        sha256: of the forget-set file.
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
        reason = (
            "" if len(rows) else ("no such item in the data" if self.known[index] else "no such entity in the data")
        )
        return Request(index, self.entities[index], rows, reason)

    def between(self, start: int, stop: int) -> list[Request]:
        """Return requests ``start`` to ``stop - 1``."""
        return [self[index] for index in range(start, stop)]

    def chosen(self, places: Sequence[int]) -> "Requests":
        """Return the requests at some places (at least one), in that order; each gets its new place as its index."""
        rows = [self[at].rows for at in places]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in rows])]).astype(np.int64)
        names, known = [self.entities[at] for at in places], self.known[np.asarray(places)]
        return Requests(names, np.concatenate(rows), offsets, known, self.unknown_pairs, self.sha256)

    def mask(self, n_done: int, n_rows: int) -> np.ndarray:
        """Return the bool mask [n_rows] of what the first ``n_done`` requests forget."""
        forgotten = np.zeros(n_rows, dtype=bool)
        forgotten[self.rows[: self.offsets[n_done]]] = True
        return forgotten

    def report(self) -> str:
        """Return one line about what was found of the forget set."""
        lost = int((~self.known).sum())
        text = f"{len(self)} requests, {len(self.rows)} interactions to forget"
        if lost or self.unknown_pairs:
            text += f"; skipped: {lost} unknown entities, {self.unknown_pairs} (entity, item) pairs not in the data"
        return text


def find_requests(
    dataset: Dataset,
    entities: Sequence[str],
    items: Sequence[str | None],
    ordered: Sequence[str],
    sha256: str,
    listed: np.ndarray | None = None,
) -> Requests:
    """Look a forget set up in the data.

    Args:
        dataset: any :class:`~recbole.data.Dataset`.
        entities, items: parallel lists of raw tokens; an item of ``None`` stands for every listed item.
        ordered: the distinct entities in the order in which their requests come.
        sha256: of the forget-set file.
        listed: bool [n_items], the items that ``None`` stands for.

    Returns:
        :class:`Requests`; one for each distinct entity, also for those that the data does not know.

    Raises:
        UserError: when the forget set is empty, or none of it is in the data.
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
    if listed is not None:  # item id 0 stands for all that are listed
        hit |= listed[log.item[rows]] & held(log.user[rows] * n_items, pairs)
    rows, keys = rows[hit], keys[hit]
    if not len(rows):
        raise UserError("none of the forget set's (entity, item) pairs is in the data; is it of another data set?")
    order = np.argsort(place[log.user[rows]], kind="stable")
    counts = np.bincount(place[log.user[rows]], minlength=len(ordered))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    missing = int((~known).sum()) + len(without(pairs[pairs % n_items > 0], distinct(keys)))
    return Requests(list(ordered), rows[order], offsets, user_of >= 0, missing, sha256)


def requests_of(dataset: Dataset, entities: Sequence[str], sha256: str) -> Requests:
    """Return one request for each of the entities (raw tokens of the data, in their order): to forget all its rows.

    Args:
        dataset: any :class:`~recbole.data.Dataset`.
        entities: list of tokens.
        sha256: of the file that they are from.
    """
    users = dataset.log.vocabulary["user"].ids(entities)
    offsets = np.concatenate([[0], np.cumsum(np.diff(dataset.log.offsets)[users])])
    return Requests(list(entities), dataset.log.rows_of(users), offsets, np.ones(len(users), dtype=bool), 0, sha256)


def _item_ids(log: InteractionLog, items: Sequence[str | None]) -> np.ndarray:
    ids = log.vocabulary["item"].ids([item if item is not None else "" for item in items])
    return np.where([item is None for item in items], 0, ids)
