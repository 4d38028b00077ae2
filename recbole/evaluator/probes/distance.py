"""How far two models' recommendations are apart, user by user."""

import numpy as np
import torch

from recbole.data import EvalRows
from recbole.evaluator.kinds import Floats, Recommender, Reference, Row
from recbole.evaluator.probe import Probe
from recbole.evaluator.scores import score_batches
from recbole.evaluator.settings import EvalSettings
from recbole.evaluator.table import Table
from recbole.evaluator.utility import mean
from recbole.evaluator.views import Views, counted

TOP = 10
"""Length of the lists whose overlap is measured."""


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
    divergence, overlap = np.empty(len(rows.inputs)), np.empty(len(rows.inputs))
    pairs = zip(
        score_batches(model, rows, masked=False, batch_rows=batch_rows),
        score_batches(reference, rows, masked=False, batch_rows=batch_rows),
        strict=True,
    )
    for (start, ours), (_, theirs) in pairs:
        stop = start + len(ours)
        divergence[start:stop] = _jensen_shannon(ours[:, 1:].double(), theirs[:, 1:].double()).cpu().numpy()
        overlap[start:stop] = _jaccard(ours, theirs).cpu().numpy()
    return {"js_divergence": divergence, "jaccard": overlap}


def _jensen_shannon(scores_p: torch.Tensor, scores_q: torch.Tensor) -> torch.Tensor:
    log_p, log_q = scores_p.log_softmax(dim=1), scores_q.log_softmax(dim=1)
    log_mean = torch.logaddexp(log_p, log_q) - np.log(2)
    halves = [(log.exp() * (log - log_mean)).nan_to_num(nan=0.0).sum(dim=1) for log in (log_p, log_q)]
    broken = log_p.isnan().any(dim=1) | log_q.isnan().any(dim=1)  # a score is NaN, or infinite: no distribution
    return torch.where(broken, torch.nan, sum(halves) / 2).clamp_min(0)


def _jaccard(scores_p: torch.Tensor, scores_q: torch.Tensor) -> torch.Tensor:
    k = min(TOP, scores_p.shape[1] - 1)
    best = torch.cat([torch.topk(s, k, dim=1).indices for s in (scores_p, scores_q)], dim=1).sort(dim=1).values
    common = (best[:, 1:] == best[:, :-1]).sum(dim=1).double()
    return common / (2 * k - common)
