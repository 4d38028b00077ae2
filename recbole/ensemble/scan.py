"""The residual scan, which checks whether any part of an ensemble still depends on the forgotten rows of the log."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch

from recbole.data import Dataset, Interaction, TrainBatches
from recbole.ensemble.learning import learn_ensemble
from recbole.ensemble.model import SHARD_OF, WITHOUT, part_of
from recbole.ensemble.partitioning import make_partition
from recbole.ensemble.training import Workspace
from recbole.model import get_model
from recbole.trainer.state import Run, State
from recbole.utils import InputType

logger = logging.getLogger("recbole")

AGGREGATE = "aggregate"
"""The value of :attr:`Finding.of` for comparisons of the aggregation, or of the data of all shards together."""


@dataclass(frozen=True)
class Finding:
    """The result of one comparison of the scan, see :func:`scan`.

    Attributes:
        of: the number of a shard as a string, or :data:`AGGREGATE`.
        what: what was compared: training ``examples``, ``negatives``, ``derived`` (graphs, pair weights and other
            tensors computed from data), ``validation`` rows, ``parameters`` or, with ``--repartition``, ``partition``.
        clean: True if both sides of the comparison are bit-identical, so that no dependence on forgotten rows was
            found.
    """

    of: str
    what: str
    clean: bool


@dataclass(frozen=True)
class ShardRows:
    """Number and SHA-256 of one shard's rows, before and after forgetting.

    Attributes:
        shard: the shard's number.
        given, left: the number of rows before and after forgetting.
        before, after: SHA-256 (64 hexadecimal digits) of the rows' user tokens, item tokens and splits, before and
            after forgetting.
    """

    shard: int
    given: int
    left: int
    before: str
    after: str


def manifest(dataset: Dataset, shard_of: np.ndarray, forgotten: np.ndarray) -> list[ShardRows]:
    """Return the number and the SHA-256 of each shard's rows, before and after forgetting.

    Args:
        dataset: all data.
        shard_of: int16 [rows], the shard of each log row.
        forgotten: bool [rows], the mask of forgotten rows.

    Returns:
        One element per shard, in the order of the shard numbers.
    """
    found = []
    for shard in range(int(shard_of.max(initial=-1)) + 1):
        rows = np.flatnonzero(shard_of == shard)
        left = rows[~forgotten[rows]]
        found.append(ShardRows(shard, len(rows), len(left), _digest(dataset, rows), _digest(dataset, left)))
    return found


def _digest(dataset: Dataset, rows: np.ndarray) -> str:
    """Return the SHA-256 of the user tokens, item tokens and splits of log rows, 64 hexadecimal digits.

    Args:
        dataset: the data.
        rows: int, indices of the log rows.
    """
    log, digest = dataset.log, hashlib.sha256()
    for side, ids in (("user", log.user[rows]), ("item", log.item[rows])):
        digest.update(np.ascontiguousarray(log.vocabulary[side].hashes[ids]).tobytes())
    digest.update(np.ascontiguousarray(log.split[rows]).tobytes())
    return digest.hexdigest()


def rewritten(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """Return a copy of the data in which the item and the rating of some log rows are replaced by other values.

    The new rating is the highest rating of the data, or the lowest if the old rating is the highest. A rating outside
    of this range could change all ratings, because settings such as ``normalize_all`` scale them by the range. Data
    without ratings change in the items only.

    Args:
        dataset: the data.
        rows: bool [rows], True for the rows to change.
    """
    log, config = dataset.log, dataset.config
    item, columns = log.item.copy(), dict(log.columns)
    item[rows] = item[rows] % (dataset.n_items - 1) + 1
    name = config["RATING_FIELD"]
    if name in columns:
        given = columns[name]
        low, high = (given.min(), given.max()) if len(given) else (0, 0)
        columns[name] = np.where(rows, np.where(given == high, low, high), given).astype(given.dtype)
    other = type(dataset)(config, replace(log, item=item, columns=columns))
    other.clean = dataset.clean
    return other


def scan(run: Run, dataset: Dataset, stored: Mapping[str, torch.Tensor], train: bool = True) -> Iterator[Finding]:
    """Compare an ensemble's checkpoint with what it would be if the forgotten rows had other contents.

    Everything that is computed from data is computed twice with the checkpoint's mask of forgotten rows: from the data
    as they are, and from a copy in which the forgotten rows have other items and ratings. What differs still depends on
    forgotten rows. With ``train``, the whole ensemble is trained from scratch on the copy, and its parameters are
    compared with the checkpoint's. With ``train`` and ``--repartition``, the partition is computed from the copy and
    compared too.

    Args:
        run: the settings, and the ensemble's class.
        dataset: all data, with nothing forgotten.
        stored: the checkpoint's ``state_dict``.
        train: whether to compare parameters, which takes a full training of the ensemble.

    Yields:
        One finding for each comparison, of each shard and of the aggregation.
    """
    shard_of, forgotten = stored[SHARD_OF].cpu().numpy(), stored[WITHOUT].cpu().numpy()
    other = rewritten(dataset, forgotten)
    here, there = dataset.masked(forgotten), other.masked(forgotten)
    for shard in range(run.config["num_shards"]):
        yield from _derived(run, str(shard), part_of(here, shard_of, shard), part_of(there, shard_of, shard))
    yield from _derived(run, AGGREGATE, here, there)
    if train:
        state = State("scanned", other, forgotten)
        if run.config["repartition"]:
            found = make_partition(run, state, Workspace()).shard_of
            yield Finding(AGGREGATE, "partition", np.array_equal(found[~forgotten], shard_of[~forgotten]))
        made = learn_ensemble(run, state, shard_of).model.state_dict()
        for of, names in _by_part(stored).items():
            same = all(torch.equal(stored[name].cpu(), made[name].cpu()) for name in names)
            yield Finding(of, "parameters", same)


def _by_part(stored: Mapping[str, torch.Tensor]) -> dict[str, list[str]]:
    """Group the names of a checkpoint's tensors by the part of the ensemble to which they belong.

    Returns:
        Shard number (as a string) or :data:`AGGREGATE` to names. The partition and the mask of forgotten rows are left
        out.
    """
    found: dict[str, list[str]] = {}
    for name in stored:
        head, _, rest = name.partition(".")
        if name not in (SHARD_OF, WITHOUT):
            found.setdefault(rest.partition(".")[0] if head == "shards" else AGGREGATE, []).append(name)
    return found


def _derived(run: Run, of: str, here: Dataset, there: Dataset) -> Iterator[Finding]:
    """Compare what two data sets give: training examples, negatives, tensors of a model, and validation rows.

    Args:
        run: the settings.
        of: the value of :attr:`Finding.of`.
        here, there: the data sets.

    Yields:
        One finding for each comparison; none for negatives if a data set has no training examples.
    """
    one, other = (data.train_examples() for data in (here, there))
    same = np.array_equal(one, other) and _same_batch(here.collate(one), there.collate(other))
    yield Finding(of, "examples", same)
    if len(one) and len(other):
        drawn = [_first_batches(run, data) for data in (here, there)]
        yield Finding(of, "negatives", all(map(_same_batch, *drawn)))
    models = [_tensors_of(run, data) for data in (here, there)]
    yield Finding(of, "derived", models[0].keys() == models[1].keys() and _same_tensors(*models))
    asked = [data.eval_rows("valid") for data in (here, there)]
    every = [rows.inputs[np.arange(len(rows.inputs))] for rows in asked]
    ragged = [[r.positives.values, r.positives.offsets, r.history.values, r.history.offsets] for r in asked]
    yield Finding(of, "validation", _same_batch(*every) and all(map(np.array_equal, *ragged)))


def _first_batches(run: Run, data: Dataset, most: int = 8) -> list[Interaction]:
    """Return the first training batches (at most ``most``) of the first epoch, including their negatives."""
    batches = TrainBatches(run.config, data, cast(InputType, run.config["MODEL_INPUT_TYPE"]))
    return [batch for batch, _ in zip(batches.epoch(0), range(most), strict=False)]


def _same_batch(one: Interaction, other: Interaction) -> bool:
    """Return whether two batches have the same fields and bit-identical columns."""
    return one.columns == other.columns and all(torch.equal(one[name], other[name]) for name in one)


def _tensors_of(run: Run, data: Dataset) -> dict[str, torch.Tensor]:
    """Build a new model, and return its buffers and other tensors except for parameters: name to tensor.

    Args:
        run: the settings.
        data: the data from which the model is built.
    """
    torch.manual_seed(0)
    model = get_model(run.config["model"])(run.config, data)
    found = dict(model.named_buffers())
    for name, module in model.named_modules():
        mine = {key: value for key, value in vars(module).items() if isinstance(value, torch.Tensor)}
        found |= {f"{name}.{key}": value for key, value in mine.items()}
    return {name: tensor for name, tensor in found.items() if not isinstance(tensor, torch.nn.Parameter)}


def _same_tensors(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Return whether two dictionaries with the same keys have bit-identical tensors."""
    return all(_same(tensor, other[name]) for name, tensor in one.items())


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two dense or sparse CSR tensors are bit-identical."""
    if one.layout == torch.sparse_csr and other.layout == torch.sparse_csr:
        parts: list[Any] = [(t.crow_indices(), t.col_indices(), t.values()) for t in (one, other)]
        return all(torch.equal(a, b) for a, b in zip(*parts, strict=True))
    return torch.equal(one, other)
