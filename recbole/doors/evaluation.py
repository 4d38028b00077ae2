"""RecBole's ``Collector`` and ``Evaluator``, for metrics computed from recommended lists."""

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
    """A dictionary of the tensors and numbers that a :class:`Collector` stores, under RecBole's keys.

    ``rec.items`` are the recommended item ids, int64 [rows, k]. ``rec.topk`` is int64 [rows, k + 1]: whether each of
    them is relevant (0 or 1), and in the last column the number of relevant items. ``data.num_items`` and
    ``data.num_users`` are the numbers of ids.
    """

    def update_tensor(self, name: str, value: torch.Tensor) -> None:
        """Append the rows of a tensor to the tensor stored under ``name``; if there is none, store a copy."""
        self[name] = torch.cat([self[name], value]) if name in self else value.clone()


class Collector:
    """Collects the top-k lists of a model and their hits, one batch of scores at a time.

    Args:
        config: reads ``topk``.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.data_struct = config, DataStruct()
        self.k = max(config["topk"])

    def data_collect(self, train_data: TrainDataLoader) -> None:
        """Store the numbers of user and item ids of the training data."""
        self.data_struct["data.num_items"] = train_data.dataset.n_items
        self.data_struct["data.num_users"] = train_data.dataset.n_users

    def eval_batch_collect(
        self,
        scores_tensor: torch.Tensor,
        interaction: Interaction,
        positive_u: torch.Tensor,
        positive_i: torch.Tensor,
    ) -> None:
        """Store the lists and hits of a batch.

        Args:
            scores_tensor: float [rows, n_items], minus infinity for items that are not candidates.
            interaction: the batch; not used.
            positive_u, positive_i: int64, the row index and the item id of each relevant item.
        """
        right = torch.zeros_like(scores_tensor, dtype=torch.bool)
        right[positive_u, positive_i] = True
        best = torch.from_numpy(best_of(scores_tensor, self.k)).to(scores_tensor.device)
        hits = right.gather(1, best.clamp_min(0)) & (best > 0)
        self.data_struct.update_tensor("rec.items", best)
        self.data_struct.update_tensor("rec.topk", torch.cat([hits.long(), right.sum(dim=1, keepdim=True)], dim=1))

    def get_data_struct(self) -> DataStruct:
        """Return everything collected so far, and start collecting anew; the numbers of ids are kept."""
        found, self.data_struct = self.data_struct, DataStruct()
        kept = {name: value for name, value in found.items() if name.startswith("data.")}
        self.data_struct.update(kept)
        return found


class Evaluator:
    """Computes metrics from the lists that a :class:`Collector` collected.

    Args:
        config: reads ``metrics``, ``topk`` and ``metric_decimal_place``.

    Raises:
        UserError: a metric is unknown.
        NotAvailable: a metric is not computed from lists.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.settings = config, EvalSettings.from_config(config)
        for metric in self.settings.metrics:
            if not isinstance(metric, PerRow | OfLists):
                raise NotAvailable(
                    f"Evaluator: {metric.name} is not computed from recommended lists; use Trainer.evaluate instead"
                )

    def evaluate(self, dataobject: DataStruct) -> dict[str, float]:
        """Return the metrics under RecBole's names (``recall@10``), rounded to ``metric_decimal_place``."""
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
