"""How a model scores the forgotten (user, item) pairs: the primary measure of forgetting."""

import logging

import numpy as np
import torch

from recbole.evaluator.asked import Asked
from recbole.evaluator.averages import add_means
from recbole.evaluator.kinds import Floats, Recommender, Reference, Row
from recbole.evaluator.pairs import Key
from recbole.evaluator.probe import Probe
from recbole.evaluator.settings import EvalSettings
from recbole.evaluator.table import Table
from recbole.evaluator.views import Views

logger = logging.getLogger("recbole")


class Forgotten(Probe[Views]):
    """Log-odds and rank of each forgotten (user, item) pair, with the whole catalogue as candidates.

    - ``forgotten_log_odds``: ``log(p / (1 - p))``, where p is the item's softmax probability among all items.
      Cross-entropy is a function of it. Unlike membership in the top k, it changes with every change of the score.
    - ``forgotten_log2_rank``: the base-2 logarithm of the item's rank among all items, 0 for the first. It does not
      depend on the scale of the scores; equal scores share their mean rank.

    A pair that the ``filter`` baseline hides scores minus infinity and has no log-odds: the mean is then null, and a
    log line reports the number of such pairs. Pairs in the training data (``split`` train) are averaged apart from
    pairs held out for validation and test. Held-out pairs are too few to rank models by (``benchmarks/controls.py``).
    """

    name = "forgotten"

    def ask(
        self, model: Recommender, view: Views, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return one row per measure and split (train, held_out), and the differences from the reference."""
        row = np.repeat(np.arange(len(view.forgotten)), view.forgotten.sizes())
        if not len(row):
            return []
        person = view.shown.entity[row]
        values = pair_scores(model, view, settings.batch_size)
        _log_hidden(values["forgotten_log_odds", None])
        others = None
        if reference is not None:
            others = pair_scores(reference.model, view, settings.batch_size), reference
        table = Table(checkpoint=view.checkpoint, view="current", masking="all", n_skipped=view.shown.n_skipped)
        for split, chosen in (("train", view.trained), ("held_out", ~view.trained)):
            if chosen.any():
                add_means(table, values, person, {"requesting": chosen}, others, split=split)
        return table.rows


def _log_hidden(odds: Floats) -> None:
    """Log how many pairs have no log-odds, if any."""
    n_hidden = int(np.isnan(odds).sum())
    if n_hidden:
        logger.info(
            "%d of %d forgotten pairs have no log-odds, as their scores are minus infinity (hidden) or NaN; "
            "means over them are null", n_hidden, len(odds),
        )  # fmt: skip


def pair_scores(model: Recommender, view: Views, batch_rows: int = 4096) -> dict[Key, Floats]:
    """Return log-odds and log2 rank of each forgotten pair in a view, float64 [pairs] each; NaN where there is none."""
    pairs = view.forgotten
    odds, rank = np.empty(len(pairs.values)), np.empty(len(pairs.values))
    for start, scores in Asked.of(model).scores(view.shown, batch_rows=batch_rows):
        stop = start + len(scores)
        first, last = pairs.offsets[start], pairs.offsets[stop]
        if first == last:
            continue
        of_row = np.repeat(np.arange(stop - start), np.diff(pairs.offsets[start : stop + 1]))
        row = torch.from_numpy(of_row).to(scores.device)
        item = torch.from_numpy(pairs.values[first:last]).to(scores.device)
        of_pair, own = scores[row, 1:], scores[row, item].unsqueeze(1)
        rest = of_pair.double().scatter(1, (item - 1).unsqueeze(1), -torch.inf)
        odds[first:last] = (own.double().squeeze(1) - rest.logsumexp(dim=1)).cpu().numpy()
        better, equal = (of_pair > own).sum(dim=1), (of_pair == own).sum(dim=1)
        place = torch.where(of_pair.isnan().any(dim=1), torch.nan, better + (equal + 1).double() / 2)
        rank[first:last] = torch.log2(place).cpu().numpy()
    odds[~np.isfinite(odds)] = np.nan
    return {("forgotten_log_odds", None): odds, ("forgotten_log2_rank", None): rank}
