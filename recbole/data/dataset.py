"""The data as a model sees it: the interaction log, and which of its interactions are forgotten (the mask)."""

from __future__ import annotations

import importlib
import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from recbole.data.batch_fields import check_batch_fields
from recbole.data.candidates import Sampled
from recbole.data.ids import distinct, held
from recbole.data.interaction import Interaction
from recbole.data.log import InteractionLog, load_log, load_more
from recbole.data.questions import EvalRows, Labelled, Questions
from recbole.data.ragged import ranges
from recbole.data.recbole_names import RecBoleNames
from recbole.data.shown_columns import shown_columns
from recbole.data.sizes import check_sizes
from recbole.data.spam_rows import append
from recbole.data.split import TRAIN
from recbole.utils import ModelType, UserError

if TYPE_CHECKING:
    from recbole.config import Config


@dataclass(frozen=True)
class Change:
    """The training examples that change when rows of the interaction log are forgotten, before and after the change.

    Attributes:
        entities: int64, ids of the users (or sessions) whose rows are newly forgotten, ascending.
        rows: int64, the newly forgotten rows, as indices into the log, ascending.
        before: batch of the training examples that contained any of these rows, as they were before forgetting.
        after: batch of the same examples after forgetting, without those that no longer exist.
        kept: int64 [len(after)], index in ``before`` of each example of ``after``.
        left: int64 [len(after)], identifiers (see :class:`Dataset`) of the examples in ``after``.
    """

    entities: np.ndarray
    rows: np.ndarray
    before: Interaction
    after: Interaction
    kept: np.ndarray
    left: np.ndarray


@dataclass(frozen=True)
class Given:
    """All training examples of a data set, forgotten ones included, each with a number that never changes.

    Shuffling and negative sampling depend on an example's number, not on how many examples are retained. So forgetting
    an example does not change what is drawn for the other examples.

    Attributes:
        examples: int64 [n], the examples' identifiers (see :class:`Dataset`), ascending.
        numbers: int64 [n], the examples' numbers: 0 to ``count - 1`` for genuine examples, ``count`` and above for
            those that a spam attack injected.
        count: number of genuine examples.
    """

    examples: np.ndarray
    numbers: np.ndarray
    count: int

    def numbers_of(self, examples: np.ndarray) -> np.ndarray:
        """Return the number (int64) of each example, given by identifiers (int64) that occur in :attr:`examples`."""
        return self.numbers[np.searchsorted(self.examples, examples)]


class Dataset(RecBoleNames):
    """An interaction log with split labels, and a mask of its forgotten rows. Forgetting rows only changes the mask.

    A row is one interaction (next-basket data: one item in a basket); rows that are not forgotten are called retained.
    The subclass for each task (CF, session-based SBR, next-basket NBR) defines the training examples. An example has an
    int64 identifier, which forgetting does not change: the index of the log row with its target item (CF, SBR), or the
    number of its target basket (NBR). :meth:`collate` builds the batch of some examples from the retained rows. The
    attributes and methods of RecBole's ``Dataset``, such as ``inter_matrix``, describe the retained training rows only.

    Args:
        config: the run's :class:`~recbole.config.Config`.
        log: :class:`~recbole.data.log.InteractionLog` with split labels.
        forgotten: bool [len(log)], the mask: True where a row is forgotten; None if no row is.

    Attributes:
        clean: the data set without the rows that a spam attack injected; None if there are no such rows.
        transform: function (dataset, batch) -> batch that adds columns to each batch of sequences; None for none.
        absent: bool [len(log)], True for rows that do not belong to this data set (see :meth:`part`); None if all rows
            belong to it. These rows always count as forgotten, and :attr:`given` has no example whose target they are.
    """

    absent: np.ndarray | None = None

    def __init__(self, config: Config, log: InteractionLog, forgotten: np.ndarray | None = None) -> None:
        self.config = config
        self.log = log
        self.forgotten = np.zeros(len(log), dtype=bool) if forgotten is None else forgotten
        self.uid_field = config["USER_ID_FIELD"]
        self.iid_field = config["ITEM_ID_FIELD"]
        self.time_field = config["TIME_FIELD"]
        self.rating_field = config["RATING_FIELD"]
        self.label_field = config["LABEL_FIELD"]
        self.clean: Self | None = None
        self.transform: Callable[[Dataset, Interaction], Interaction] | None = None
        self._columns: list[dict[str, np.ndarray]] = []  # empty, or a single element that all masks share

    def with_spam(self, path: str | Path) -> Self:
        """Return a data set with the rows of this one followed by those of a spam attack; nothing is forgotten.

        ``path`` is the attack's file. Its rows are not filtered, and are split by the same rule as those of this data.

        Raises:
            UserError: the file cannot be read or does not fit the data, see :func:`~recbole.data.spam_rows.append`.
        """
        both = type(self)(self.config, append(self.log, self.read_spam(Path(path)), path))
        both.clean = self
        return both

    @classmethod
    @abstractmethod
    def from_config(cls, config: Config) -> Self:
        """Read the data set's files and label its rows with their splits."""

    @abstractmethod
    def read_spam(self, path: Path) -> InteractionLog:
        """Read the file of a spam attack as a log with split labels and with user and item ids of its own."""

    @abstractmethod
    def examples_touching(self, rows: np.ndarray) -> np.ndarray:
        """Return identifiers (int64) of the retained training examples that contain any log row in ``rows`` (int64)."""

    @abstractmethod
    def questions(self, split: str) -> EvalRows:
        """Return the evaluation data of ``"valid"`` or ``"test"`` without forgotten rows; no candidates are sampled."""

    @abstractmethod
    def labelled(self, rows: EvalRows, split: str) -> Labelled:
        """Return items of ``"valid"`` or ``"test"`` with binary labels, grouped by ``rows``, the split's rankings."""

    @abstractmethod
    def exposure_rows(self, users: np.ndarray) -> EvalRows:
        """Return evaluation data with one ranking for each of ``users`` (int64 ids) with enough retained history."""

    def eval_rows(self, split: str) -> EvalRows:
        """Return the evaluation data of ``"valid"`` or ``"test"`` without forgotten rows, in the ``eval_args`` mode."""
        rows = self.questions(split)
        frozen = rows.inputs.dataset if isinstance(rows.inputs, Questions) else self.masked(self.forgotten.copy())
        labels = self.labelled(rows, split) if self.config["eval_args"]["mode"][split] == "labeled" else None
        return replace(rows, sampled=Sampled.of(self, split), labelled=labels, training=frozen)

    def masked(self, forgotten: np.ndarray) -> Self:
        """Return a data set with the same log and the mask ``forgotten`` (bool [len(log)], True: the row is forgotten).

        The array is not copied, so forgetting further rows changes it (except in a :meth:`part` of a data set).
        """
        hidden = forgotten if self.absent is None else forgotten | self.absent
        other = type(self)(self.config, self.log, hidden)
        other.clean, other.absent, other._columns = self.clean, self.absent, self._columns
        other.transform = self.transform
        if "given" in vars(self):
            other.given = self.given
        return other

    def showing(self, label: int | None) -> Self:
        """Return a copy like the data sets of RecBole's ``build``: it describes the rows with one split label.

        ``label`` is ``TRAIN``, ``VALID`` or ``TEST`` of :mod:`recbole.data.split`; None for all rows.
        """
        other = self.masked(self.forgotten.copy())
        other.shown, other.built = label, True
        return other

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Column name to values [len(log)], for columns other than user and item, as RecBole passes them to models."""
        if not self._columns:
            self._columns.append(shown_columns(self.config, self.log))
        return self._columns[0]

    def part(self, absent: np.ndarray) -> Self:
        """Return a data set of the same log without the rows ``absent`` (bool [len(log)]), with nothing forgotten.

        Its training examples get new numbers (:attr:`given`). The shards of an ensemble are such parts.
        """
        other = type(self)(self.config, self.log, absent.copy())
        other.clean, other.absent = self.clean, absent
        return other

    @property
    def first_fake(self) -> int:
        """The smallest id of a fake user, injected by a spam attack; without spam, the number of user ids."""
        return len((self.clean or self).log.vocabulary["user"])

    @cached_property
    def given(self) -> Given:
        """All training examples, forgotten ones included, with numbers that forgetting does not change."""
        examples = self.masked(np.zeros_like(self.forgotten)).train_examples()
        injected = self.users_of(examples) >= self.first_fake
        numbers, count = np.empty_like(examples), len(examples) - int(injected.sum())
        numbers[~injected], numbers[injected] = np.arange(count), np.arange(count, len(examples))
        return Given(examples, numbers, count)

    def ids_of(self, examples: np.ndarray, field: str) -> np.ndarray:
        """Return the target item (if ``field`` is the item id field) or the user id of each example, int64."""
        return self.log.item[examples] if field == self.iid_field else self.users_of(examples)

    def users_of(self, examples: np.ndarray) -> np.ndarray:
        """Return the user (or session) id of each example, int64."""
        return self.log.user[examples]

    def forget(self, rows: npt.ArrayLike) -> Change:
        """Mark log rows (integer indices) as forgotten, in place, and return how the training examples change.

        Rows that are already forgotten, and repeated ones, are ignored.
        """
        requested = distinct(np.asarray(rows, dtype=np.int64))
        new = requested[~self.forgotten[requested]]
        touched = self.examples_touching(new)
        before = self.collate(touched)
        self.forgotten[new] = True
        left = self.still_examples(touched)
        kept = np.flatnonzero(held(touched, left))
        return Change(distinct(self.log.user[new]), new, before, self.collate(left), kept, left)

    def still_examples(self, examples: np.ndarray) -> np.ndarray:
        """Return those of ``examples`` (int64 identifiers) that still exist after forgetting, in their order."""
        return examples[~self.forgotten[examples]]

    def train_examples(self) -> np.ndarray:
        """Return the identifiers of all retained training examples, int64, ascending."""
        return np.flatnonzero((self.log.split == TRAIN) & ~self.forgotten)

    def examples_of(self, users: npt.ArrayLike) -> np.ndarray:
        """Return the identifiers (int64) of the retained training examples of users (int64 ids)."""
        rows = self.log.rows_of(users)
        return self.still_examples(rows[self.log.split[rows] == TRAIN])

    def draw_examples(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Draw up to ``n`` retained training examples uniformly, in O(n) time; return identifiers, int64, ascending."""
        if 4 * n >= len(self.log):
            return np.sort(generator.permutation(self.train_examples())[:n])
        drawn = distinct(generator.integers(len(self.log), size=4 * n))
        drawn = self.still_examples(drawn[self.log.split[drawn] == TRAIN])
        return np.sort(generator.permutation(drawn)[:n])

    def examples_near(self, rows: np.ndarray, hops: float = 0) -> np.ndarray:
        """Return the retained training examples (int64 identifiers) near log rows in the graph of users and items.

        The graph's edges are the retained interactions used in training. An example is near if it contains an
        interaction of a user, or with an item, at most ``hops`` edges (``math.inf``: any number) away from the users
        and items of ``rows`` (int64 indices).
        """
        if hops == math.inf:
            return self.train_examples()
        near = self._around(rows)
        for _ in range(int(hops)):
            inner, near = near, self._around(near)
            if len(inner) == len(near):
                break
        return self.examples_touching(near)

    def items_near(self, rows: np.ndarray, hops: float) -> np.ndarray:
        """Return the items at most ``hops`` edges away from the users and items of log rows, int64 ids, ascending.

        The graph is that of :meth:`examples_near`. The items of ``rows`` are included even if none of their
        interactions is retained.
        """
        if hops == math.inf:
            return np.arange(1, self.n_items)
        near = rows
        for _ in range(int(hops)):
            near = self._around(near)
        return distinct(np.concatenate([self.log.item[rows], self.log.item[near]]))

    def _around(self, rows: np.ndarray) -> np.ndarray:
        """Return the retained training and history rows sharing a user or an item with ``rows``, int64, ascending."""
        order, offsets = self.log.by_item
        users, items = distinct(self.log.user[rows], self.n_users), distinct(self.log.item[rows], self.n_items)
        rows = np.concatenate([self.log.rows_of(users), order[ranges(offsets[items], offsets[items + 1])]])
        return distinct(rows[(self.log.split[rows] <= TRAIN) & ~self.forgotten[rows]], len(self.log))

    def aims_at(self, examples: np.ndarray, items: npt.ArrayLike) -> np.ndarray:
        """Return for each example (int64 identifier) whether its target is one of the items (int64 ids), bool."""
        return np.isin(self.log.item[examples], items)

    def __str__(self) -> str:
        users, items = self.n_users - 1, self.n_items - 1
        return f"{self.log.name}: {users} users, {items} items, {len(self.log)} interactions ({self.task_type})"


class AtomicDataset(Dataset):
    """Data read from RecBole's atomic files (``.inter``), for CF and SBR; subclasses assign the split labels."""

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Read the atomic files and label their rows with their splits."""
        log = load_log(config)
        return cls(config, replace(log, split=cls.label(config, log)))

    def read_spam(self, path: Path) -> InteractionLog:
        """Read the file of a spam attack as a log with split labels and with user and item ids of its own."""
        log = load_more(self.config, path)
        return replace(log, split=self.label(self.config, log))

    @staticmethod
    @abstractmethod
    def label(config: Config, log: InteractionLog) -> np.ndarray:
        """Return the split label (int8) of every log row."""


_TASKS = {
    ModelType.GENERAL: ("cf", "GeneralDataset"),
    ModelType.TRADITIONAL: ("cf", "GeneralDataset"),
    ModelType.SEQUENTIAL: ("sbr", "SequentialDataset"),
    ModelType.NEXT_BASKET: ("nbr", "NextBasketDataset"),
}
"""Dict from a model type to (module of :mod:`recbole.data`, class in it) of the data set for such models."""


def create_dataset(config: Config, model_type: ModelType | None = None) -> Dataset:
    """Return the data set for the task of a model.

    Args:
        config: the run's :class:`~recbole.config.Config`.
        model_type: the model's type; None for the type of the class that the configuration was made with or bound to.

    Raises:
        UserError: the model's class is not known yet, or a setting does not fit the model's task or the data.
    """
    model_type = config["MODEL_TYPE"] if model_type is None else model_type
    if model_type is None:
        raise UserError(f"the task of {config['model']} is not known: call config.bind_model, or pass model_type")
    module, name = _TASKS[model_type]
    cls: type[Dataset] = getattr(importlib.import_module(f"recbole.data.{module}"), name)
    if (task := config["task_type"]) and task != cls.task_type:
        raise UserError(f"task_type: {config['model']} is a {cls.task_type} model, not {task}; leave --task_type out")
    if config["benchmark_filename"] and cls.task_type != "CF":
        raise UserError(f"benchmark_filename: only CF data can be split by files, not {cls.task_type}; leave it null")
    data = cls.from_config(config)
    check_batch_fields(data)
    check_sizes(config, data.n_items - 1)
    return data
