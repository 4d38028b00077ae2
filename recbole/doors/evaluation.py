"""RecBole's ``Collector`` and ``Evaluator``, which collect recommended lists by batches and compute metrics of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from recbole.config import Config
from recbole.data.interaction import Interaction
from recbole.doors.loaders import TrainDataLoader
from recbole.evaluator.metrics import OfLists, PerRow
from recbole.evaluator.scores import best_of
from recbole.evaluator.settings import EvalSettings, result_name
from recbole.utils import NotAvailable


class DataStruct(dict[str, Any]):
    """The tensors and numbers that a :class:`Collector` stores, in a dictionary with RecBole's keys.

    - ``rec.items``: int64 [rows, k], the ids of the recommended items, best first; 0 after the end of a list that has
      fewer candidates, -1 throughout for a row with a NaN score.
    - ``rec.topk``: int64 [rows, k + 1]. The first k columns say whether the recommended items are relevant (1) or not
      (0). The last column is the number of relevant items.
    - ``data.num_items``, ``data.num_users``: the numbers of item ids and user ids, including padding.
    """

    def update_tensor(self, name: str, value: torch.Tensor) -> None:
        """Append the rows of ``value`` to the tensor with the key ``name``; if there is none, store a copy."""
        self[name] = torch.cat([self[name], value]) if name in self else value.clone()


class Collector:
    """Collects a model's top-k lists, and which of their items are relevant, from batches of scores.

    Args:
        config: the settings. The largest number in ``topk`` is the length of the lists.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.data_struct = config, DataStruct()
        self.k = max(config["topk"])

    def data_collect(self, train_data: TrainDataLoader) -> None:
        """Store the numbers of user ids and item ids, including padding, of the training data."""
        self.data_struct["data.num_items"] = train_data.dataset.n_items
        self.data_struct["data.num_users"] = train_data.dataset.n_users

    def eval_batch_collect(
        self,
        scores_tensor: torch.Tensor,
        interaction: Interaction,
        positive_u: torch.Tensor,
        positive_i: torch.Tensor,
    ) -> None:
        """Store the top-k lists of a batch, and which of their items are relevant.

        Args:
            scores_tensor: float [rows, n_items], the scores; minus infinity for items that are not candidates.
            interaction: the model's inputs; not used.
            positive_u: int64 [n], for each relevant item the index of its row in the batch.
            positive_i: int64 [n], for each relevant item its id.
        """
        right = torch.zeros_like(scores_tensor, dtype=torch.bool)
        right[positive_u, positive_i] = True
        best = torch.from_numpy(best_of(scores_tensor, self.k)).to(scores_tensor.device)
        hits = right.gather(1, best.clamp_min(0)) & (best > 0)
        self.data_struct.update_tensor("rec.items", best)
        self.data_struct.update_tensor("rec.topk", torch.cat([hits.long(), right.sum(dim=1, keepdim=True)], dim=1))

    def get_data_struct(self) -> DataStruct:
        """Return everything collected so far, and forget it, except for ``data.num_items`` and ``data.num_users``."""
        found, self.data_struct = self.data_struct, DataStruct()
        kept = {name: value for name, value in found.items() if name.startswith("data.")}
        self.data_struct.update(kept)
        return found


class Evaluator:
    """Computes metrics from the recommended lists that a :class:`Collector` collected.

    Args:
        config: the settings, of which ``metrics``, ``topk`` and ``metric_decimal_place`` are read.

    Raises:
        UserError: a metric is unknown.
        NotAvailable: a metric needs more than lists, such as scores.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.settings = config, EvalSettings.from_config(config)
        for metric in self.settings.metrics:
            if not isinstance(metric, PerRow | OfLists):
                raise NotAvailable(
                    f"Evaluator: {metric.name} is not computed from recommended lists; use Trainer.evaluate instead"
                )

    def evaluate(self, dataobject: DataStruct) -> dict[str, float]:
        """Return the metrics' means over all collected rows, rounded to ``metric_decimal_place`` decimal places.

        Args:
            dataobject: the collected lists, from :meth:`Collector.get_data_struct`.

        Returns:
            Dict from RecBole's name of a metric, such as ``recall@10``, to its value.
        """
        topk = dataobject["rec.topk"].cpu().numpy()
        hits, n_right, found = topk[:, :-1] > 0, topk[:, -1], {}
        for metric in self.settings.metrics:
            if isinstance(metric, PerRow):
                values = metric(hits, n_right).mean(axis=0)
            elif isinstance(metric, OfLists):
                values = metric(dataobject["rec.items"].cpu().numpy(), dataobject["data.num_items"])
            for k in self.settings.topk:
                value = round(float(np.asarray(values)[k - 1]), self.config["metric_decimal_place"])
                found[result_name(metric.name.lower(), k)] = value
        return found
