"""The data as a task sees it: the log, and a mask of what has been forgotten."""

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

from recbole.data.candidates import Sampled
from recbole.data.ids import distinct, held
from recbole.data.interaction import Interaction
from recbole.data.log import InteractionLog, load_log, load_more
from recbole.data.questions import EvalRows, Labelled, Questions
from recbole.data.ragged import ranges
from recbole.data.recbole_names import RecBoleNames
from recbole.data.shown_columns import shown_columns
from recbole.data.spam_rows import append
from recbole.data.split import TRAIN
from recbole.utils import ModelType, UserError

if TYPE_CHECKING:
    from recbole.config import Config


@dataclass(frozen=True)
class Change:
    """What forgetting some rows does to the training examples that contain them.

    Attributes:
        entities: int64, the users (or sessions) who asked.
        rows: int64, the log rows to forget.
        before: the training examples that contain a forgotten row, as they are.
        after: what is left of those same examples once the rows are gone.
        kept: int64, for each of ``after`` its place in ``before``.
        left: int64, the numbers of the examples that ``after`` holds.
    """

    entities: np.ndarray
    rows: np.ndarray
    before: Interaction
    after: Interaction
    kept: np.ndarray
    left: np.ndarray


@dataclass(frozen=True)
class Given:
    """The training examples that a model's data held at the start, each with a permanent number.

    What training draws for an example is keyed by its number, and the order of an epoch is one of all numbers: the
    examples that are forgotten later leave gaps, and move nothing else.

    Attributes:
        examples: int64, the examples' names, ascending.
        numbers: int64, of each example: from 0 to ``count - 1`` for the genuine ones, from ``count`` on for those that
            a scenario planted.
        count: how many genuine examples there were.
    """

    examples: np.ndarray
    numbers: np.ndarray
    count: int

    def numbers_of(self, examples: np.ndarray) -> np.ndarray:
        """Return the numbers of examples (int64 names), int64."""
        return self.numbers[np.searchsorted(self.examples, examples)]


class Dataset(RecBoleNames):
    """One log, one vocabulary, one split, seen through a mask; forgetting sets bits of the mask.

    The tasks' subclasses say what a training example is. An example is named by an int64 number, the same before and
    after any forgetting; :meth:`collate` turns names into the batch that they are under the current mask.

    To a model this is RecBole's training data set: ``n_users``, ``inter_matrix`` and the like speak of the retained
    training rows alone.

    Args:
        config: the run's :class:`~recbole.config.Config`.
        log: :class:`~recbole.data.log.InteractionLog` with split labels.
        forgotten: bool [len(log)], True where a row has been forgotten; none by default.

    Attributes:
        clean: the data without the rows that a scenario planted; None where it planted none.
        transform: puts further columns beside each batch of sequences; None for none.
        absent: bool [len(log)], the rows that these data never had; None of data that are given the whole log. They
            are under every mask, and not forgotten: nothing is numbered that they hold.
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
        self._columns: list[dict[str, np.ndarray]] = []  # one, once it was asked for; of all masks

    def with_spam(self, path: str | Path) -> Self:
        """Return this data set, nothing forgotten, with the rows of a spam attack after its own, which stay so.

        The attack's rows are neither filtered nor counted by a filter; they are labelled by the same rule.

        Raises:
            UserError: when the file cannot be read, or does not fit the data: see
                :func:`~recbole.data.spam_rows.append`.
        """
        both = type(self)(self.config, append(self.log, self.read_spam(Path(path)), path))
        both.clean = self
        return both

    # --- what a task defines -------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def from_config(cls, config: Config) -> Self:
        """Read the data set's files and label the examples."""

    @abstractmethod
    def read_spam(self, path: Path) -> InteractionLog:
        """Return the attack in a file as a labelled log with ids of its own."""

    @abstractmethod
    def examples_touching(self, rows: np.ndarray) -> np.ndarray:
        """Return the training examples (int64) that contain any of the log rows, under the current mask."""

    @abstractmethod
    def questions(self, split: str) -> EvalRows:
        """Return the :class:`EvalRows` of ``"valid"`` or ``"test"`` under the current mask, all items competing."""

    @abstractmethod
    def labelled(self, rows: EvalRows, split: str) -> Labelled:
        """Return the items of a split with their labels, for each of its questions."""

    @abstractmethod
    def exposure_rows(self, users: np.ndarray) -> EvalRows:
        """Return one :class:`EvalRows` row for each of the users that can be asked for a recommendation."""

    # --- questions -----------------------------------------------------------------------------------------------

    def eval_rows(self, split: str) -> EvalRows:
        """Return the :class:`EvalRows` of ``"valid"`` or ``"test"`` under the current mask, in the split's mode."""
        rows = self.questions(split)
        frozen = rows.inputs.dataset if isinstance(rows.inputs, Questions) else self.masked(self.forgotten.copy())
        labels = self.labelled(rows, split) if self.config["eval_args"]["mode"][split] == "labeled" else None
        return replace(rows, sampled=Sampled.of(self, split), labelled=labels, training=frozen)

    # --- masks ---------------------------------------------------------------------------------------------------

    def masked(self, forgotten: np.ndarray) -> Self:
        """Return this data set under another mask (bool [len(log)]), sharing everything else."""
        hidden = forgotten if self.absent is None else forgotten | self.absent
        other = type(self)(self.config, self.log, hidden)
        other.clean, other.absent, other._columns = self.clean, self.absent, self._columns
        other.transform = self.transform
        if "given" in vars(self):
            other.given = self.given
        return other

    def showing(self, label: int | None) -> Self:
        """Return this data set, its RecBole's names speaking of the rows of a split label, or of all with None."""
        other = self.masked(self.forgotten.copy())
        other.shown, other.built = label, True
        return other

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The log's further columns as models see them: see :func:`~recbole.data.shown_columns.shown_columns`."""
        if not self._columns:
            self._columns.append(shown_columns(self.config, self.log))
        return self._columns[0]

    def part(self, absent: np.ndarray) -> Self:
        """Return the data of somebody who never had some rows (bool [len(log)]), nothing forgotten.

        Its training examples are numbered among themselves.
        """
        other = type(self)(self.config, self.log, absent.copy())
        other.clean, other.absent = self.clean, absent
        return other

    @property
    def first_fake(self) -> int:
        """Users from this id on were planted by a scenario."""
        return len((self.clean or self).log.vocabulary["user"])

    @cached_property
    def given(self) -> Given:
        """The training examples under no mask, numbered in their order."""
        examples = self.masked(np.zeros_like(self.forgotten)).train_examples()
        planted = self.users_of(examples) >= self.first_fake
        numbers, count = np.empty_like(examples), len(examples) - int(planted.sum())
        numbers[~planted], numbers[planted] = np.arange(count), np.arange(count, len(examples))
        return Given(examples, numbers, count)

    def ids_of(self, examples: np.ndarray, field: str) -> np.ndarray:
        """Return the users or the target items of examples (int64), as :meth:`collate` puts them into a field."""
        return self.log.item[examples] if field == self.iid_field else self.users_of(examples)

    def users_of(self, examples: np.ndarray) -> np.ndarray:
        """Return whose examples they are, int64 user (or session) ids."""
        return self.log.user[examples]

    def forget(self, rows: npt.ArrayLike) -> Change:
        """Set the rows' bits, in place, and return the :class:`Change` that this makes to the training examples.

        Rows that are forgotten already are left out of ``rows``, and repeated ones are taken once.
        """
        asked = distinct(np.asarray(rows, dtype=np.int64))
        new = asked[~self.forgotten[asked]]
        touched = self.examples_touching(new)
        before = self.collate(touched)
        self.forgotten[new] = True
        left = self.still_examples(touched)
        kept = np.flatnonzero(held(touched, left))
        return Change(distinct(self.log.user[new]), new, before, self.collate(left), kept, left)

    def still_examples(self, examples: np.ndarray) -> np.ndarray:
        """Return those of the examples that are still examples under the current mask."""
        return examples[~self.forgotten[examples]]

    def train_examples(self) -> np.ndarray:
        """Return every retained training example, int64, ascending."""
        return np.flatnonzero((self.log.split == TRAIN) & ~self.forgotten)

    def examples_of(self, users: npt.ArrayLike) -> np.ndarray:
        """Return the retained training examples of the users (int64 ids)."""
        rows = self.log.rows_of(users)
        return self.still_examples(rows[self.log.split[rows] == TRAIN])

    def draw_examples(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Return at most ``n`` distinct retained training examples, drawn evenly, at a cost that follows ``n``."""
        if 4 * n >= len(self.log):
            return np.sort(generator.permutation(self.train_examples())[:n])
        drawn = distinct(generator.integers(len(self.log), size=4 * n))
        drawn = self.still_examples(drawn[self.log.split[drawn] == TRAIN])
        return np.sort(generator.permutation(drawn)[:n])

    def examples_near(self, rows: np.ndarray, hops: float = 0) -> np.ndarray:
        """Return the retained training examples near log rows, int64.

        These hold an interaction of a user, or on an item, at most ``hops`` steps (``math.inf``: any number) from the
        users and items of ``rows`` in the graph of retained interactions that training sees.
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
        """Return the items at most ``hops`` steps from the users and items of log rows, int64, ascending.

        The graph is that of :meth:`examples_near`. An item that leaves it is still near itself.
        """
        if hops == math.inf:
            return np.arange(1, self.n_items)
        near = rows
        for _ in range(int(hops)):
            near = self._around(near)
        return distinct(np.concatenate([self.log.item[rows], self.log.item[near]]))

    def _around(self, rows: np.ndarray) -> np.ndarray:
        """Return the retained rows up to the training split of the rows' users and on their items, int64, ascending."""
        order, offsets = self.log.by_item
        users, items = distinct(self.log.user[rows], self.n_users), distinct(self.log.item[rows], self.n_items)
        rows = np.concatenate([self.log.rows_of(users), order[ranges(offsets[items], offsets[items + 1])]])
        return distinct(rows[(self.log.split[rows] <= TRAIN) & ~self.forgotten[rows]], len(self.log))

    def aims_at(self, examples: np.ndarray, items: npt.ArrayLike) -> np.ndarray:
        """Return which of the examples (int64) have one of the items (int64) as a target, bool."""
        return np.isin(self.log.item[examples], items)

    def __str__(self) -> str:
        users, items = self.n_users - 1, self.n_items - 1
        return f"{self.log.name}: {users} users, {items} items, {len(self.log)} interactions ({self.task_type})"


class AtomicDataset(Dataset):
    """A data set of single interactions, in atomic files; the tasks' subclasses label its rows."""

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Read the atomic files and label the examples."""
        log = load_log(config)
        return cls(config, replace(log, split=cls.label(config, log)))

    def read_spam(self, path: Path) -> InteractionLog:
        """Return the attack in a file as a labelled log with ids of its own."""
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
"""The module of this room and the class in it that hold a kind of model's data."""


def create_dataset(config: Config, model_type: ModelType | None = None) -> Dataset:
    """Return the data set of the task that a model is made for.

    Args:
        config: the run's :class:`~recbole.config.Config`.
        model_type: the model's type; None for that of the class that the configuration was made with or bound to.

    Raises:
        UserError: when ``task_type`` in the config says another task, the model's class is not known yet, or
            ``benchmark_filename`` is set for another task than CF.
    """
    model_type = config["MODEL_TYPE"] if model_type is None else model_type
    if model_type is None:
        raise UserError(f"the task of {config['model']} is not known: bind_model its class first, or say model_type")
    module, name = _TASKS[model_type]
    cls: type[Dataset] = getattr(importlib.import_module(f"recbole.data.{module}"), name)
    said = config["task_type"]
    if said and said != cls.task_type:
        raise UserError(f"task_type: {config['model']} is a {cls.task_type} model, not {said}; leave --task_type out")
    if config["benchmark_filename"] and cls.task_type != "CF":
        raise UserError(
            f"benchmark_filename: only the pairs of CF are split by files; {cls.task_type} splits what comes next"
        )
    return cls.from_config(config)
