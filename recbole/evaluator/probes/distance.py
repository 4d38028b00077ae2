"""How different the recommendations of two models are, user by user."""

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
"""For rank-biased overlap: the number of ranks compared, and the persistence p of its weights ``p^(rank - 1)``."""

_CACHED = 2**17
"""How many float64 probabilities per model are processed at once on a CPU: 1 MiB."""

_TINY, _BELOW_ONE = 1e-300, 1 - 2**-53
"""Bounds that avoid 0 / 0 and log(0) in terms that are multiplied by 0 anyway."""


class Distance(Probe[Views]):
    """The distance of a model's recommendations from those of the reference model, usually the retrained one.

    The distances are those of :func:`distances` and, for users with a deletion request, ``rank_change``: the absolute
    difference between the log2 ranks that both models give to each forgotten (user, item) pair.

    ``benchmarks/controls.py`` tests the distances on models whose order by distance from retraining is known. If no
    model shares random numbers with its reference, only ``rank_change`` orders the models correctly in all cases. The
    other distances fail on GRU4Rec: for users without a request, one training epoch more or less changes the order.
    """

    name = "distance"

    def ask(
        self, model: Recommender, view: Views, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return one row per distance and group of users, with a 95 % interval; arguments: see :meth:`Probe.ask`.

        Without a reference the list is empty.
        """
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
    """Compare the scores and lists of two models on each evaluation row, with the whole catalogue as candidates.

    Args:
        model: one model.
        reference: the other model. All measures are symmetric.
        rows: the evaluation rows.
        topk: list lengths for ``jaccard``.
        batch_rows: the most rows that are scored at once.

    Returns:
        Float64 [rows] by measure and list length; NaN in rows where either model has a NaN score. The measures are:
        ``js_divergence``: the Jensen-Shannon divergence in nats (0 to ln 2) between the softmaxes of the scores (J.
            Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 1991). It depends on the
            scale of the scores. It is also NaN if a score is plus infinity; minus infinity (a hidden item) is
            probability 0.
        ``jaccard``: the Jaccard index of the two top-k lists, 0 to 1; 1 if they contain the same items.
        ``rank_biased_overlap``: similarity of the two top-100 lists, 0 to 1, in which the first ranks weigh most; 1 if
            the lists are equal (W. Webber, A. Moffat, J. Zobel, "A Similarity Measure for Indefinite Rankings", ACM
            TOIS 2010; equation numbers not checked).
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
    """Return the rank-biased overlap of two lists per row, float64 [rows]: 0 without common items, 1 for equal lists.

    The value is ``(1 - p) sum over d of p^(d-1) c(d) / d``, divided by ``1 - p^D``. Here c(d) is the number of items
    that are in the first d ranks of both lists. The sum runs from d = 1 to the length D of the longer list, which is
    ``depth`` unless the catalogue is smaller. The divisor is the sum's value for two equal lists of this length. Two
    empty lists count as equal.

    Args:
        ours, theirs: int64 [rows, depth] item ids, best first; 0 where a list has ended, which is never a common item.
        p: persistence, between 0 and 1: each depth d has p times the weight of the depth before, as the formula says.
    """
    n, depth = ours.shape
    if not n:
        return np.empty(0)
    weights = p ** np.arange(depth) / np.arange(1, depth + 1)
    row = np.arange(n)[:, None] * (int(max(ours.max(), theirs.max(), 0)) + 1)  # a key is unique to (row, item)
    keys = (row + theirs.clip(0)).ravel()
    order = np.argsort(keys)
    at = np.minimum(np.searchsorted(keys, row + ours.clip(0), sorter=order), len(keys) - 1)
    common = (keys[order[at]] == row + ours) & (ours > 0)
    later = np.maximum(np.arange(depth), order[at] % depth)  # the rank by which both lists have the item
    new = np.bincount((np.arange(n)[:, None] * depth + later)[common], minlength=n * depth).reshape(n, depth)
    there = (ours > 0) | (theirs > 0)
    found = (np.cumsum(new, axis=1) * there) @ weights
    longest = np.maximum((ours > 0).sum(axis=1), (theirs > 0).sum(axis=1))
    return np.where(longest > 0, found * (1 - p) / np.maximum(1 - p**longest, 1 - p), 1.0)


def _divergence(scores_p: torch.Tensor, scores_q: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon divergence between the softmaxes of two score matrices, row by row: float64 [rows].

    On a CPU a few rows are computed at a time, so that they fit in the cache.
    """
    n_rows = max(_CACHED // scores_p.shape[1], 1) if scores_p.device.type == "cpu" else len(scores_p)
    pieces = zip(scores_p.split(n_rows), scores_q.split(n_rows), strict=True)
    return torch.cat([_jensen_shannon(p.double().softmax(dim=1), q.double().softmax(dim=1)) for p, q in pieces])


def _jensen_shannon(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon divergence between p and q in nats, float64 [rows]; NaN for a row that contains NaN.

    Let m be the mean of p and q, and r = (p - q) / (p + q). The term p log(p / m) is computed as p log(1 + r), and the
    term q log(q / m) as q log(1 - r). This is accurate where p and q are close, and 0 where they are equal.

    Args:
        p, q: two distributions over items per row, float64 [rows, items].
    """
    r = (p - q).div_((p + q).clamp_min_(_TINY)).clamp_(-_BELOW_ONE, _BELOW_ONE)
    terms = r.log1p().mul_(p)
    terms += r.neg_().log1p_().mul_(q)
    return (terms.sum(dim=1) / 2).clamp_min(0)


def _jaccard(ours: Ids, theirs: Ids) -> Floats:
    """Return the Jaccard index of two lists of item ids per row, float64 [rows]; 1 if both lists are empty.

    Both arguments are int64 [rows, k], with 0 after the end of a list.
    """
    there = (ours > 0).sum(axis=1) + (theirs > 0).sum(axis=1)
    common = ((ours[:, :, None] == theirs[:, None, :]) & (ours > 0)[:, :, None]).sum(axis=(1, 2))
    return np.where(there > 0, common / np.maximum(there - common, 1), 1.0)
