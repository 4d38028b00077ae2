"""How far two models' recommendations are apart, user by user."""

from collections.abc import Sequence

import numpy as np
import torch

from recbole.data import EvalRows
from recbole.evaluator.asked import Asked
from recbole.evaluator.averages import add_means
from recbole.evaluator.kinds import Floats, Ids, Recommender, Reference, Row
from recbole.evaluator.pairs import Key
from recbole.evaluator.probe import Probe
from recbole.evaluator.probes.forgotten import pair_scores
from recbole.evaluator.scores import UNKNOWN
from recbole.evaluator.settings import EvalSettings
from recbole.evaluator.table import Table
from recbole.evaluator.views import Views

DEPTH, PERSISTENCE = 100, 0.9
"""How far down rank-biased overlap looks, and how much of its weight each place hands on to the next."""

_CACHED = 2**17
"""How many probabilities of a model are looked at at a time: 1 MiB."""

_TINY, _BELOW_ONE = 1e-300, 1 - 2**-53
"""What keeps 0 / 0 and the logarithm of 0 away, where their factor is 0."""


class Distance(Probe[Views]):
    """The distance from the reference on the rows that exposure is counted on; without a reference there is none.

    Where model and reference share no random numbers, only ``rank_change`` orders models of known order throughout
    (``benchmarks/controls.py``). The others fail on GRU4Rec; of people who did not ask, by a difference of an epoch.
    """

    name = "distance"

    def ask(
        self, model: Recommender, view: Views, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return a row for each distance and population, with its interval."""
        if reference is None:
            return []
        other, name, twin = reference
        rows, of = view.shown, {"reference": name, "reference_twin": twin}
        table = Table(checkpoint=view.checkpoint, split="test", view="current", masking="all", **of)
        values = distances(model, other, rows, settings.topk, settings.batch_size)
        add_means(table, values, rows.entity, dict(view.populations(rows)), n_skipped=rows.n_skipped)
        if len(view.forgotten.values):
            ours, theirs = (
                pair_scores(one, view, settings.batch_size)["forgotten_log2_rank", None] for one in (model, other)
            )
            person = np.repeat(rows.entity, view.forgotten.sizes())
            moved: dict[Key, Floats] = {("rank_change", None): np.abs(ours - theirs)}
            add_means(table, moved, person, {"requesting": np.ones(len(person), dtype=bool)}, n_skipped=rows.n_skipped)
        return table.rows


def distances(
    model: Recommender, reference: Recommender, rows: EvalRows, topk: Sequence[int] = (10,), batch_rows: int = 4096
) -> dict[Key, Floats]:
    """Compare two models on the same questions, with the whole catalogue as candidates.

    Returns:
        By name and list length, float64 [rows] each: ``js_divergence``, the Jensen-Shannon divergence, in nats (0 to
        ln 2), of the softmaxes of the scores (J. Lin, "Divergence measures based on the Shannon entropy", IEEE Trans.
        Inf. Theory 1991), which depends on their scale, NaN where a score is NaN or plus infinity (minus infinity, of
        what is hidden, is a probability of 0); ``jaccard``, the overlap
        of the two lists of length k, 1 when they hold the same items; and ``rank_biased_overlap``, of the first 100
        places, 1 when they are the same in the same order (W. Webber, A. Moffat, J. Zobel, "A Similarity Measure for
        Indefinite Rankings", ACM TOIS 2010; equation numbers not checked).
    """
    ours, theirs = Asked.of(model), Asked.of(reference)
    divergence = np.empty(len(rows.inputs))
    pairs = zip(ours.scores(rows, batch_rows=batch_rows), theirs.scores(rows, batch_rows=batch_rows), strict=True)
    for (start, p), (_, q) in pairs:
        divergence[start : start + len(p)] = _divergence(p[:, 1:], q[:, 1:]).cpu().numpy()
    longest = max(*topk, DEPTH)
    first, second = (asked.lists(rows, longest, masked=False, batch_rows=batch_rows) for asked in (ours, theirs))
    found: dict[Key, Floats] = {("js_divergence", None): divergence}
    found |= {("jaccard", k): _jaccard(first[:, :k], second[:, :k]) for k in topk}
    found["rank_biased_overlap", None] = rank_biased_overlap(first[:, :DEPTH], second[:, :DEPTH])
    unknown = (first[:, 0] == UNKNOWN) | (second[:, 0] == UNKNOWN)
    return {about: np.where(unknown, np.nan, values) for about, values in found.items()}


def rank_biased_overlap(ours: Ids, theirs: Ids, p: float = PERSISTENCE) -> Floats:
    """Return ``(1 - p) sum over d of p^(d-1) |A and B|_d / d``, over what two equal lists have, float64 [rows].

    The sum goes as far down as the longer list of a row: to ``depth`` unless the catalogue is smaller. What two equal
    lists have is then ``1 - p^d`` of the last ``d``, and two empty lists are equal.

    Args:
        ours, theirs: int64 [rows, depth], best first; 0 where a list has ended, which is in common with nothing.
        p: the share of its weight that a place hands on to the next.
    """
    n, depth = ours.shape
    if not n:
        return np.empty(0)
    weights = p ** np.arange(depth) / np.arange(1, depth + 1)
    row = np.arange(n)[:, None] * (int(max(ours.max(), theirs.max(), 0)) + 1)  # an item's key is its row's and its own
    keys = (row + theirs.clip(0)).ravel()
    order = np.argsort(keys)
    at = np.minimum(np.searchsorted(keys, row + ours.clip(0), sorter=order), len(keys) - 1)
    common = (keys[order[at]] == row + ours) & (ours > 0)
    later = np.maximum(np.arange(depth), order[at] % depth)  # where a common item has come in both lists
    new = np.bincount((np.arange(n)[:, None] * depth + later)[common], minlength=n * depth).reshape(n, depth)
    there = (ours > 0) | (theirs > 0)
    found = (np.cumsum(new, axis=1) * there) @ weights
    longest = np.maximum((ours > 0).sum(axis=1), (theirs > 0).sum(axis=1))
    return np.where(longest > 0, found * (1 - p) / np.maximum(1 - p**longest, 1 - p), 1.0)


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
