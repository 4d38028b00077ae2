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

    - ``forgotten_log_odds``: ``log(p / (1 - p))``, where p is the item's softmax probability among all items. Unlike
      membership in the top k, the log-odds change whenever the score changes. The cross-entropy ``-log p`` is a
      function of them.
    - ``forgotten_log2_rank``: the base-2 logarithm of the item's rank among all items, 0 for the first rank. Equal
      scores share their mean rank. The value does not depend on the scale of the scores.

    The baseline ``filter``, which leaves the model unchanged and hides forgotten pairs, gives these pairs the score
    minus infinity. Their log-odds are undefined: the mean is then NaN (``null`` in files), and a log line gives their
    number.

    Pairs from the training data (column ``split``: ``train``) are averaged separately from pairs that were held out for
    validation and test (``held_out``). The latter are too few to rank models by them (``benchmarks/controls.py``).
    """

    name = "forgotten"

    def ask(
        self, model: Recommender, view: Views, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return one row per measure and split (train, held_out); arguments: see :meth:`Probe.ask`.

        With a reference, further rows contain the mean differences "model minus reference". Without forgotten pairs the
        list is empty.
        """
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
    """Log how many of the log-odds (float64 [pairs]) are NaN, if any."""
    n_hidden = int(np.isnan(odds).sum())
    if n_hidden:
        logger.info(
            "%d of %d forgotten pairs have no log-odds, as their scores are minus infinity (hidden) or NaN; "
            "means over them are null", n_hidden, len(odds),
        )  # fmt: skip


def pair_scores(model: Recommender, view: Views, batch_rows: int = 4096) -> dict[Key, Floats]:
    """Return the log-odds and the log2 rank of each forgotten (user, item) pair, float64 [pairs] each, by name.

    Log-odds are NaN for hidden pairs; both values are NaN in rows with a NaN score.

    Args:
        model: any recommender.
        view: the evaluation data, which contains the pairs.
        batch_rows: the most rows that are scored at once.
    """
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
