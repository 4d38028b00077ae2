"""How a model scores what was to be forgotten: the primary measure of forgetting."""

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
    """Log-odds and rank of each forgotten (person, item) pair, with the whole catalogue as candidates.

    ``forgotten_log_odds``: ``log(p / (1 - p))``, ``p`` of the softmax over all items' scores: what the cross-entropy
    of a pair is made of, and unlike a place in the top k never stuck. ``forgotten_log2_rank``: the logarithm to base 2
    of the item's place among all items, 0 for the first; it depends on no scale, and equal scores share their mean
    place. A pair that is never recommended, because it scores minus infinity as what is hidden does, has no log-odds:
    their mean is null, and the number of such pairs is told. Pairs that the model was trained on (``split`` train)
    stand apart from those that were held out for validation and test; a handful of the latter orders nothing
    (``benchmarks/controls.py``).
    """

    name = "forgotten"

    def ask(
        self, model: Recommender, view: Views, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return a row for each measure and kind of pair, and for what the model has more than the reference."""
        row = np.repeat(np.arange(len(view.forgotten)), view.forgotten.sizes())
        if not len(row):
            return []
        person = view.shown.entity[row]
        values = pair_scores(model, view, settings.batch_size)
        _tell_of_hidden(values["forgotten_log_odds", None])
        others = None
        if reference is not None:
            others = pair_scores(reference.model, view, settings.batch_size), reference
        table = Table(checkpoint=view.checkpoint, view="current", masking="all", n_skipped=view.shown.n_skipped)
        for split, chosen in (("train", view.trained), ("held_out", ~view.trained)):
            if chosen.any():
                add_means(table, values, person, {"requesting": chosen}, others, split=split)
        return table.rows


def _tell_of_hidden(odds: Floats) -> None:
    """Say of how many pairs there are no log-odds, if of any."""
    n_hidden = int(np.isnan(odds).sum())
    if n_hidden:
        logger.info(
            "%d of %d forgotten pairs have no log-odds, as their scores are minus infinity (hidden) or no numbers; "
            "means over them are null", n_hidden, len(odds),
        )  # fmt: skip


def pair_scores(model: Recommender, view: Views, batch_rows: int = 4096) -> dict[Key, Floats]:
    """Return the two measures of each of the view's forgotten pairs, float64 [pairs] each; NaN of what has none."""
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
