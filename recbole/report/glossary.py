"""The glossary of all printed columns (formula, direction, what is averaged, pitfall), which generates docs/metrics.md.

``python -m recbole.report.glossary > docs/metrics.md`` writes the page. A test fails if a column has no entry.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """The explanation of a column.

    Attributes:
        formula: how a value is computed.
        better: which values are better: ``more``, ``less``, ``closer`` (to the retrained model's value), or a number
            that is the best value. Empty for the metrics of ``recbole.evaluator.metrics``, which declare it themselves.
        over: what the values are averaged over, or computed from.
        trap: the pitfall: what the value does not show, or how it can mislead.
    """

    formula: str
    better: str
    over: str
    trap: str


_ROWS, _RELEVANT, _PAIRS = "test rows", "relevant items", "scored items"
_AGAINST = "Differs from {} only where scores are tied, for example because embeddings have collapsed."
_RAW = "Scores are used as they are. If they are not probabilities (BPR), the value depends on their scale."
_REQUEST = "user-item pairs in deletion requests"
_SHOWN = "requesting users and a fixed sample of 1,000 others"
_TARGETS = "test rows and promoted items that may be recommended there"
_EVEN = "The padding item counts as an id, as in RecBole."
_SINGLE = "A single number and no mean, so it has neither an interval nor a paired difference."
_NOT_ZERO = "The retrained model recommends some of these items, too: zero is not the goal."
_MOSTLY = "Usually 0."
_ONE_USER = "Determined by a single user."

METRICS: dict[str, Entry] = {
    "Recall": Entry("hits in the top k / number of relevant items", "", _ROWS,
                    "Cannot reach 1 where more than k items are relevant."),
    "MRR": Entry("1 / rank of the first hit, 0 without a hit", "", _ROWS, "Ignores all hits after the first."),
    "NDCG": Entry("DCG / DCG of the ideal list of length k; gain 1, discount 1 / log2(rank + 1)", "", _ROWS,
                  "The ideal list ends at k: k hits give 1 even if 50 items are relevant."),
    "Hit": Entry("1 if there is a hit in the top k, else 0", "", _ROWS,
                 "Easy for users with many relevant items; a share of rows, not of items."),
    "Precision": Entry("hits in the top k / k", "", _ROWS, "Cannot reach 1 where fewer than k items are relevant."),
    "MAP": Entry("sum of the precisions at the hits in the top k / min(number of relevant items, k)", "", _ROWS,
                 "Other libraries divide by the number of hits."),
    "GAUC": Entry("mean over relevant items of (irrelevant candidates with a lower score + half of those with an equal "
                  "score) / irrelevant candidates", "", _RELEVANT,
                  "Users with more relevant items weigh more. On a large catalogue most models are near 1."),
    "HitAgainst": Entry("1 if the item is in the top k when ranked after all irrelevant items with the same score", "",
                        _RELEVANT, _AGAINST.format("HitExpected")),
    "NDCGAgainst": Entry("1 / log2(rank + 1) in the top k when ranked after all items with the same score, else 0", "",
                         _RELEVANT, _AGAINST.format("NDCGExpected")),
    "HitExpected": Entry("probability to be in the top k if equal scores are ordered at random", "", _RELEVANT,
                         "Ranks each relevant item among the irrelevant ones, and is a mean over relevant items. Hit "
                         "is 1 if any relevant item of the row is in the list."),
    "NDCGExpected": Entry("expected 1 / log2(rank + 1), 0 beyond k, if equal scores are ordered at random", "",
                          _RELEVANT, "Equals NDCG with one relevant item, except that NDCG fixes the order of ties."),
    "ExpectedRank": Entry("1 + irrelevant candidates with a higher score + half of those with an equal score", "",
                          _RELEVANT, "A few items that are ranked last dominate the mean."),
    "AveragePopularity": Entry("mean number of training interactions of the top k items", "", _ROWS,
                               "Counted on the view's training data, as in RecBole. A low value does not mean useful "
                               "lists."),
    "TailPercentage": Entry("rare items in the top k / k", "", _ROWS,
                            "Rare are the 10 % of trained items with the fewest interactions (`tail_ratio`)."),
    "ItemCoverage": Entry("number of different items in all lists of length k / number of ids", "", "all lists",
                          f"{_EVEN} {_SINGLE}"),
    "ShannonEntropy": Entry("mean of -p log p over the different recommended items, p being the item's share of all "
                            "list places", "", "all lists",
                            "As in RecBole, the entropy is divided by the number of different recommended items. The "
                            "value can therefore fall although more items are recommended: a larger value is better "
                            f"only at equal ItemCoverage. {_SINGLE}"),
    "GiniIndex": Entry("sum over n ids i, sorted by count, of (2i - n - 1) count_i / (n * sum of counts)", "",
                       "all lists", f"{_EVEN} {_SINGLE}"),
    "AUC": Entry("share of (relevant, irrelevant) pairs, across users, in which the relevant item scores higher", "",
                 _PAIRS, "Compares scores of different users: it can be low although each user's ranking is good. "
                 f"{_SINGLE}"),
    "LogLoss": Entry("mean of -log of the probability of the label, clipped to [1e-15, 1 - 1e-15]", "", _PAIRS, _RAW),
    "MAE": Entry("mean of abs(score - label)", "", _PAIRS, _RAW),
    "RMSE": Entry("root of the mean of (score - label)^2", "", _PAIRS,
                  f"{_RAW} It has an interval, but no paired difference."),
}  # fmt: skip

FORGETTING: dict[str, Entry] = {
    "forgotten_log_odds": Entry("log(p / (1 - p)), p being the softmax probability among all items", "closer", _REQUEST,
                                "Depends on the scale of scores: compare a model with its own retraining."),
    "forgotten_log2_rank": Entry("log2 of the rank among all items; equal scores share their mean rank", "closer",
                                 _REQUEST,
                                 "A rank far from the retrained model's, in either direction, reveals the request."),
    "recall_of_forgotten": Entry("share of a user's forgotten items that are in the top k", "closer",
                                 "requesting users", _NOT_ZERO),
    "pct_users_with_forgotten": Entry("percentage of users with a forgotten item in the top k", "closer",
                                      "requesting users", _NOT_ZERO),
    "avg_forgotten_per_user": Entry("mean number of forgotten items in a user's top k", "closer", "requesting users",
                                    _NOT_ZERO),
    "min_forgotten_per_user": Entry("minimum number of forgotten items in a user's top k", "closer",
                                    "requesting users", _MOSTLY),
    "max_forgotten_per_user": Entry("maximum number of forgotten items in a user's top k", "closer",
                                    "requesting users", _ONE_USER),
    "pct_users_with_sensitive": Entry("percentage of users with a sensitive item in the top k", "closer", _SHOWN,
                                      "Counts every item on the sensitive list, not only those in requests."),
    "avg_sensitive_per_user": Entry("mean number of sensitive items in a user's top k", "closer", _SHOWN,
                                    "A model whose recommendations are useless has few, too."),
    "min_sensitive_per_user": Entry("minimum number of sensitive items in a user's top k", "closer", _SHOWN, _MOSTLY),
    "max_sensitive_per_user": Entry("maximum number of sensitive items in a user's top k", "closer", _SHOWN,
                                    _ONE_USER),
    "total_sensitive_in_topk": Entry("sum over users of the number of sensitive items in the top k", "closer", _SHOWN,
                                     "Grows with the number of users."),
}  # fmt: skip

DISTANCES: dict[str, Entry] = {
    "js_divergence": Entry("Jensen-Shannon divergence between the softmax distributions of both models' scores (nats)",
                           "less", _SHOWN,
                           "Depends on the scale of scores. The base model can be close to the model retrained with "
                           "its seed, so a small value does not prove forgetting."),
    "jaccard": Entry("size of the intersection of both top k / size of their union", "more", _SHOWN,
                     "Ignores the order within the lists."),
    "rank_biased_overlap": Entry("(1 - p) * sum over d = 1..100 of p^(d-1) * (common items in both top d) / d, divided "
                                 "by 1 - p^100, with p = 0.9", "more", _SHOWN,
                                 "The first ten places make up 86 % of the value."),
    "rank_change": Entry("mean of abs(log2 rank in one model - log2 rank in the other)", "less", _REQUEST,
                         "Computed from few pairs. In the control experiments (results.md) it is the only one of "
                         "these that orders all models as expected with every seed."),
}  # fmt: skip

TARGETS: dict[str, Entry] = {
    "target_hit_rate": Entry("share of rows with a promoted item in the top k", "closer", "test rows of genuine users",
                             "Some users are recommended promoted items even without an attack."),
    "target_exposure": Entry("mean share of the top k that are promoted items", "closer", "test rows of genuine users",
                             "Some users are recommended promoted items even without an attack."),
    "target_rank": Entry("mean rank of a promoted item among the candidates", "closer", _TARGETS,
                         "With `uni100` or `pop100`, counted only where the item is among the drawn candidates."),
    "target_log_probability": Entry("mean log of the softmax probability of a promoted item", "closer", _TARGETS,
                                    "Depends on the scale of scores."),
}  # fmt: skip

REPORT: dict[str, Entry] = {
    "coupled": Entry("mean over seeds of the distance from the retrained model with the same seed", "less", "seeds",
                     "A low value shows that the models are close. A high one may be due to the randomness of "
                     "training alone."),
    "coupled, same epoch": Entry("as coupled, but from the retrained model as it was after the epoch that validation "
                                 "selected for the base", "less", "seeds",
                                 "Leaves out the effect of different numbers of training epochs; not a measure of "
                                 "unlearning."),
    "excess": Entry("mean distance of the model from the retrained models with other seeds, minus the mean distance of "
                    "the retrained model with the same seed from them", "0", "pairs of seeds",
                    "Can be below 0: the model is then closer to them than a retrained model is."),
    "coupling": Entry("1 - distance(base, retrained with its seed) / mean distance(base, retrained with other seeds): "
                      "how much of the randomness of training both share, 1 for all of it",
                      "more", "seeds", "Below 0.5, the column coupled shows mostly randomness of training. Also low if "
                      "forgetting changes the model more than randomness does."),
    "s/request": Entry("mean wall-clock seconds of a request that required work", "less", "requests",
                       "Excludes skipped requests and loading, but not delays by other programs on the machine."),
    "CPU s/request": Entry("mean CPU seconds, summed over all threads, of a request that required work", "less",
                           "requests", "Does not include the time of a GPU."),
    "speed-up": Entry("wall-clock seconds of retraining / s/request", "more", "requests",
                      "Compares retraining with a single request; for all requests see amortised."),
    "CPU speed-up": Entry("CPU seconds of retraining / CPU s/request", "more", "requests",
                          "Compares retraining with a single request; for all requests see CPU amortised."),
    "amortised": Entry("wall-clock seconds of one retraining / wall-clock seconds of all requests together", "more",
                       "requests", "Below 1, retraining once for all requests would have been cheaper."),
    "CPU amortised": Entry("CPU seconds of one retraining / CPU seconds of all requests together", "more", "requests",
                           "Below 1, retraining once for all requests would have been cheaper."),
}  # fmt: skip

_HEAD = """# Metrics: what every printed column means

Generated by `python -m recbole.report.glossary`; edit that module, not this page.

The result table has one row for each value. Its columns are listed in `recbole/evaluator/table.py`; the column `metric`
has one of the names below in lower case (`ndcg`), `k` the list length (the setting `topk`, by default 10 and 20). Three
columns say how the value was computed:

- `view`: the data that test rows are made of. `all`: all interactions; `current`: without the forgotten ones; `clean`:
  without those of a spam attack.
- `population`: whose values are averaged: `all` users, the `requesting` users (those with a deletion request), or the
  `others`.
- `masking`: which items are candidates. `all`: every item; `retained`: all items except those in the user's history, of
  which forgotten interactions are no part. In session and basket data no item is excluded.

These terms are used below. A *test row* is one ranking: of a user with all of the user's test items (collaborative
filtering), of a session with its next item, or of a user with the items of the next basket. Its test items are the
*relevant items*; a *hit* is a relevant item in the list. *Scored items* are pairs of a test row and an item whose score
is compared with a label. The column *over* says what a value is the mean of, and `n_rows` how many there are. The
column *better* gives the direction; `closer` means closer to the retrained model's value, from above or below, and `0`
closer to zero.

Means have 95 % intervals: users are drawn with replacement, each with all of their values. If the column `minus` is
set, the row is a *paired difference*: the mean over the same test rows or pairs of the model's minus the retrained
model's values.

By default (`eval_args mode: full`) all candidates are ranked. `uni100` and `pop100` (or another number) draw 100
irrelevant items for each relevant one, uniformly or in proportion to their number of interactions, and rank only these.
They draw with replacement, as RecBole does, so some items occur twice: 99 draws from the 1,682 items of ml-100k give 96
different items on average. The draws depend only on the tokens of the user and the item, so they are the same for every
model, seed and set of forgotten interactions. Ranks among drawn items order models differently than ranks among all
items do (W. Krichene, S. Rendle, KDD 2020): use them to compare with papers. `labeled` compares the scores of a split's
interactions with their labels (`LABEL_FIELD`, or `threshold: {rating: 4}`) and ranks nothing. Equal scores are ordered
by a hash of the tokens, except in metrics that say otherwise. The metrics that RecBole also has agree with it to 1e-6
(`tests/evaluator/test_against_recbole.py`) where lists have length k. If a list is shorter, for example with few drawn
items, RecBole fills it up with arbitrary items, and this program does not.
"""

_OF_FORGETTING = """Ranks and softmax probabilities are among all items, those in the user's history included. The
columns about the top k are given for both values of `masking`.

"""
_OF_DISTANCES = """All items are candidates. For `jaccard` and `rank_biased_overlap` 1 means equal lists; `erase-bench
report` shows them as distances, 1 - value.

"""
_OF_REPORT = """Models trained with the same seed share random draws, such as their initial values, and are therefore
closer to each other than models with different seeds. `coupled` compares models with the same seed, `excess` models
with different seeds, and `coupling` shows how much it matters to share the seed. The first four columns are given for
each distance above.

"""

_SECTIONS: dict[str, tuple[str, Mapping[str, Entry]]] = {
    "Metrics that the setting `metrics` selects": ("", METRICS),
    "Forgotten and sensitive items": (_OF_FORGETTING, FORGETTING),
    "Comparisons with the retrained model": (_OF_DISTANCES, DISTANCES),
    "Items promoted by a spam attack": ("", TARGETS),
    "Columns of `erase-bench report`": (_OF_REPORT, REPORT),
}


def page() -> str:
    """Return the text of docs/metrics.md, in Markdown."""
    from recbole.evaluator.metrics import METRICS as known

    parts = [_HEAD]
    for title, (introduction, entries) in _SECTIONS.items():
        heads = "| column | formula | better | over | trap |\n|---|---|---|---|---|\n"
        parts.append(f"\n## {title}\n\n{introduction}{heads}")
        for name, entry in entries.items():
            metric = known[name.lower()] if entries is METRICS else None
            shown = name if metric is None else f"{name}{'@k' if metric.cut else ''}"
            better = entry.better if metric is None else "less" if metric.smaller else "more"
            parts.append(f"| {shown} | {entry.formula} | {better} | {entry.over} | {entry.trap} |\n")
    return "".join(parts)


if __name__ == "__main__":
    print(page(), end="")
