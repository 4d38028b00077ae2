"""How far two models' recommendations are apart, user by user."""

import numpy as np
import torch

from recbole.data import EvalRows
from recbole.evaluator.asked import Asked
from recbole.evaluator.kinds import Floats, Ids, Recommender, Reference, Row
from recbole.evaluator.probe import Probe
from recbole.evaluator.settings import EvalSettings
from recbole.evaluator.table import Table
from recbole.evaluator.utility import mean
from recbole.evaluator.views import Views, counted

TOP = 10
"""Length of the lists whose overlap is measured."""

_CACHED = 2**17
"""How many probabilities of a model are looked at at a time: 1 MiB."""

_TINY, _BELOW_ONE = 1e-300, 1 - 2**-53
"""What keeps 0 / 0 and the logarithm of 0 away, where their factor is 0."""


class Distance(Probe[Views]):
    """The distance from the reference on the rows that exposure is counted on; without a reference there is none."""

    name = "distance"

    def ask(
        self, model: Recommender, view: Views, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return a row for each distance and population."""
        if reference is None:
            return []
        other, name, twin = Reference(*reference)
        rows, of = view.shown, {"reference": name, "reference_twin": twin}
        table = Table(checkpoint=view.checkpoint, split="test", view="current", masking="all", **of)
        for metric, values in distances(model, other, rows, settings.batch_size).items():
            for population, chosen in view.populations(rows):
                k = TOP if metric == "jaccard" else None
                table.add(metric, mean(values[chosen]), k, population=population, **counted(rows, chosen))
        return table.rows


def distances(model: Recommender, reference: Recommender, rows: EvalRows, batch_rows: int = 4096) -> dict[str, Floats]:
    """Compare two models on the same questions, with the whole catalogue as candidates.

    Returns:
        ``js_divergence``, float64 [rows]: the Jensen-Shannon divergence, in nats (0 to ln 2), of the softmaxes of the
        scores (J. Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 1991), NaN where a
        score is NaN or infinite; and
        ``jaccard``, float64 [rows]: the overlap of the two top-10 lists, 1 when they hold the same items.
    """
    ours, theirs = Asked.of(model), Asked.of(reference)
    divergence = np.empty(len(rows.inputs))
    pairs = zip(ours.scores(rows, batch_rows=batch_rows), theirs.scores(rows, batch_rows=batch_rows), strict=True)
    for (start, p), (_, q) in pairs:
        divergence[start : start + len(p)] = _divergence(p[:, 1:], q[:, 1:]).cpu().numpy()
    lists = [asked.lists(rows, TOP, masked=False, batch_rows=batch_rows) for asked in (ours, theirs)]
    return {"js_divergence": divergence, "jaccard": _jaccard(*lists)}


def _divergence(scores_p: torch.Tensor, scores_q: torch.Tensor) -> torch.Tensor:
    """Return the divergence of each row, float64 [rows], of few rows at a time where caches are small."""
    n_rows = max(_CACHED // scores_p.shape[1], 1) if scores_p.device.type == "cpu" else len(scores_p)
    pieces = zip(scores_p.split(n_rows), scores_q.split(n_rows), strict=True)
    return torch.cat([_jensen_shannon(p.double().softmax(dim=1), q.double().softmax(dim=1)) for p, q in pieces])


def _jensen_shannon(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Return the divergence of probabilities, float64 [rows, items]; NaN of a row with a NaN.

    With m their mean and r = (p - q) / (p + q), p log(p / m) is p log(1 + r) and q log(q / m) is q log(1 - r), which
    is exact where the two are close, and 0 where they are equal.
    """
    r = (p - q).div_((p + q).clamp_min_(_TINY)).clamp_(-_BELOW_ONE, _BELOW_ONE)
    terms = r.log1p().mul_(p)
    terms += r.neg_().log1p_().mul_(q)
    return (terms.sum(dim=1) / 2).clamp_min(0)


def _jaccard(ours: Ids, theirs: Ids) -> Floats:
    """Return the overlap of two lists of each row (int64 [rows, k], 0 where there is none), 1 if both are empty."""
    there = (ours > 0).sum(axis=1) + (theirs > 0).sum(axis=1)
    common = ((ours[:, :, None] == theirs[:, None, :]) & (ours > 0)[:, :, None]).sum(axis=(1, 2))
    return np.where(there > 0, common / np.maximum(there - common, 1), 1.0)
