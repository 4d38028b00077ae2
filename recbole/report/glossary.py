"""What every column that is printed means: formula, direction, population, trap. It makes ``docs/metrics.md``.

``python -m recbole.report.glossary > docs/metrics.md`` writes the page; a test fails where a column lacks its entry.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """What a column means.

    Attributes:
        formula: how a value is made.
        better: ``more``, ``less``, ``closer`` (to the retrained model's value), or what else is to be said; of the
            metrics of ``recbole.evaluator.metrics`` it is their own.
        over: what a mean is over, or what goes in.
        trap: what it does not say, or how it misleads.
    """

    formula: str
    better: str
    over: str
    trap: str


_ROWS, _RIGHT, _PAIRS = "test rows", "right items", "scored items"
_AGAINST = "Only where models give equal scores does it differ from the expected one; collapsed embeddings do."
_RAW = "Scores are taken as they are: of a model whose scores are no probabilities, such as BPR, they judge the scale."
_REQUEST = "pairs that people asked to forget"
_SHOWN = "requesting people and a fixed sample of 1,000 others"
_TARGETS = "rows and promoted items that may be recommended there"
_EVEN = "The padding counts among the ids, as in RecBole."
_SINGLE = "One number of all lists: it has no interval, and no difference row by row."

METRICS: dict[str, Entry] = {
    "Recall": Entry("hits among the first k / right items", "", _ROWS, "Below 1 by force where more than k are right."),
    "MRR": Entry("1 / rank of the first hit, 0 without one", "", _ROWS, "Right items after the first do not count."),
    "NDCG": Entry("DCG / DCG of the best list of length k; gain 1, discount 1 / log2(rank + 1)", "", _ROWS,
                  "The ideal list ends at k: k hits of 50 right items are 1."),
    "Hit": Entry("1 if there is a hit among the first k, else 0", "", _ROWS,
                 "Easy for people with many right items; a share of rows, not of items."),
    "Precision": Entry("hits among the first k / k", "", _ROWS, "Below 1 by force where fewer than k are right."),
    "MAP": Entry("sum of the precisions at the hits among the first k / min(right items, k)", "", _ROWS,
                 "Other libraries divide by the hits that were found."),
    "GAUC": Entry("mean over right items of (wrong candidates below + half of the equal ones) / wrong candidates", "",
                  _RIGHT, "People count by their number of right items. On a large catalogue most models are near 1."),
    "HitAgainst": Entry("1 if the item is among the first k, behind all wrong ones of the same score", "",
                         _RIGHT, _AGAINST),
    "NDCGAgainst": Entry("1 / log2(rank + 1) if it is among the first k, behind equal ones, else 0", "",
                         _RIGHT, _AGAINST),
    "HitExpected": Entry("chance of the first k, equal scores being in any order", "", _RIGHT,
                         "Of several right items each competes with the wrong ones alone; Hit asks for any of them."),
    "NDCGExpected": Entry("mean of 1 / log2(rank + 1), 0 beyond k, over the orders of equal scores", "", _RIGHT,
                          "It is NDCG where one item is right, but for NDCG's one order of equal scores."),
    "ExpectedRank": Entry("1 + wrong candidates above + half of the equal ones", "", _RIGHT,
                          "A few items that are ranked last decide the mean."),
    "AveragePopularity": Entry("mean training count of the first k items", "", _ROWS,
                               "Counts are of the view's training data, as RecBole counts; less is no better advice."),
    "TailPercentage": Entry("rare items among the first k / k", "", _ROWS,
                            "Rare are the tenth of the trained items with the fewest interactions (`tail_ratio`)."),
    "ItemCoverage": Entry("items in any list of length k / ids", "", "all lists", f"{_EVEN} {_SINGLE}"),
    "ShannonEntropy": Entry("mean over recommended items of -p log p, p their share of the places", "", "all lists",
                            f"RecBole divides by the number of items: a wider spread can lower it. {_SINGLE}"),
    "GiniIndex": Entry("sum over ids i by count of (2i - n - 1) count_i / (n sum of counts)", "", "all lists",
                       f"{_EVEN} {_SINGLE}"),
    "AUC": Entry("share of (right, wrong) pairs, across people, in which the right one scores more", "", _PAIRS,
                 f"It compares scores of different people: a good ranking of each need not show. {_SINGLE}"),
    "LogLoss": Entry("mean of -log p of the label, p cut to [1e-15, 1 - 1e-15]", "", _PAIRS, _RAW),
    "MAE": Entry("mean of abs(score - label)", "", _PAIRS, _RAW),
    "RMSE": Entry("root of the mean of (score - label)^2", "", _PAIRS, f"{_RAW} No difference row by row."),
}  # fmt: skip

FORGETTING: dict[str, Entry] = {
    "forgotten_log_odds": Entry("log(p / (1 - p)), p of the softmax over all items", "closer", _REQUEST,
                                "Depends on the scale of scores: compare a model with its own retraining."),
    "forgotten_log2_rank": Entry("log2 of the place among all items, equal scores sharing it", "closer", _REQUEST,
                                 "Far behind the retrained model's tells who asked, as far before it does."),
    "recall_of_forgotten": Entry("share of a person's forgotten items in the top k", "closer", "requesting people",
                                 "A retrained model shows some of them too: zero is not the aim."),
    "pct_users_with_forgotten": Entry("per cent of people with a forgotten item in the top k", "closer",
                                      "requesting people", "As for recall_of_forgotten."),
    "avg_forgotten_per_user": Entry("mean number of forgotten items in the top k", "closer", "requesting people",
                                    "As for recall_of_forgotten."),
    "min_forgotten_per_user": Entry("the least such number", "closer", "requesting people", "Mostly 0."),
    "max_forgotten_per_user": Entry("the largest such number", "closer", "requesting people", "Of one person."),
    "pct_users_with_sensitive": Entry("per cent of people with a sensitive item in the top k", "closer", _SHOWN,
                                      "Of the whole list of the category, not of what was asked to be forgotten."),
    "avg_sensitive_per_user": Entry("mean number of sensitive items in the top k", "closer", _SHOWN,
                                    "A model that recommends nothing useful has few, too."),
    "min_sensitive_per_user": Entry("the least such number", "closer", _SHOWN, "Mostly 0."),
    "max_sensitive_per_user": Entry("the largest such number", "closer", _SHOWN, "Of one person."),
    "total_sensitive_in_topk": Entry("their sum over people", "closer", _SHOWN, "Grows with the number of people."),
}  # fmt: skip

DISTANCES: dict[str, Entry] = {
    "js_divergence": Entry("Jensen-Shannon divergence of the softmax of both models' scores (nats)", "less", _SHOWN,
                           "Depends on the scale of scores. Two trainings of one seed are close without forgetting."),
    "jaccard": Entry("overlap of both top k over their union", "more", _SHOWN, "Blind to order inside of the list."),
    "rank_biased_overlap": Entry("(1 - p) sum over d up to 100 of p^(d-1) common items of the first d / d, over "
                                 "1 - p^100, p = .9", "more", _SHOWN, "The first ten places make 86 % of it."),
    "rank_change": Entry("mean of abs(log2 rank here - log2 rank there)", "less", _REQUEST,
                         "Of few pairs; between seeds it alone orders models of known order throughout."),
}  # fmt: skip

TARGETS: dict[str, Entry] = {
    "target_hit_rate": Entry("share of rows with a promoted item in the top k", "closer", "rows of genuine people",
                             "Promoted items are popular with some without any attack."),
    "target_exposure": Entry("mean share of the top k that promoted items take", "closer", "rows of genuine people",
                             "As for target_hit_rate."),
    "target_rank": Entry("mean place of a promoted item among the candidates", "closer", _TARGETS,
                         "Under uniN or popN only where the item was drawn."),
    "target_log_probability": Entry("mean log of its softmax probability", "closer", _TARGETS,
                                    "Depends on the scale of scores."),
}  # fmt: skip

REPORT: dict[str, Entry] = {
    "coupled": Entry("mean over seeds of the distance from the retrained model of the own seed", "less", "seeds",
                     "Low is evidence of closeness, high is none: training's chaos may be all of it."),
    "coupled, same epoch": Entry("the same, from the retraining at the base's epoch", "less", "seeds",
                                 "A diagnosis of early stopping, and no yardstick."),
    "excess": Entry("mean distance from retrained models of other seeds, less that of retrained models",
                    "0", "pairs of seeds", "Below 0 is possible: nearer to them than they are to each other."),
    "coupling": Entry("1 - distance(base, retrained of its seed) / mean distance(base, retrained of others)", "more",
                      "seeds", "Below .5 the coupled column is mostly chaos."),
    "s/request": Entry("mean seconds of a request that had something to do, by the clock", "less", "requests",
                       "Skipped requests and loading are left out; another load on the machine is not."),
    "CPU s/request": Entry("the same in CPU seconds of all threads", "less", "requests", "Says nothing of a GPU."),
    "speed-up": Entry("seconds of retraining / s/request", "more", "requests", "Of one request: see amortised."),
    "CPU speed-up": Entry("the same in CPU seconds", "more", "requests", "As for speed-up."),
    "amortised": Entry("seconds of one retraining / seconds of all requests together", "more", "requests",
                       "Below 1 one retraining for all of them had been cheaper."),
    "CPU amortised": Entry("the same in CPU seconds", "more", "requests", "As for amortised."),
}  # fmt: skip

_HEAD = """# Metrics: what every printed column means

Made by `python -m recbole.report.glossary`; change it there.

Columns stand in result rows in lower case (`ndcg`), each with its view, population and masking
(`recbole/evaluator/table.py` says what these are). *Better* is the direction: `closer` means closer to the retrained
model, whatever the sign. Means have 95 % intervals over people, each drawn with all of their rows; `n_rows` counts
what a mean is over.

Candidates are all items but the history (`eval_args mode: full`, the default). `uni100` and `pop100` draw for each
right item 100 wrong ones, evenly or by number of interactions, with replacement, as RecBole does (so that some come
twice: 99 of 1,682 items are 96 different ones); they depend on the tokens of person and item alone, and are the same
for every model, seed and mask. Ranks among drawn items order models differently from ranks among all (W. Krichene, S.
Rendle, KDD 2020): use them to compare with papers. `labeled` holds the scores of a split's rows against their labels
(`LABEL_FIELD`, or `threshold: {rating: 4}`) and ranks nothing. Equal scores are ordered by a hash of tokens, but for
the metrics that say otherwise. RecBole's own metrics have its values to 1e-6
(`tests/evaluator/test_against_recbole.py`) where lists are as long as k; a list that ends before, as among few drawn
items, is filled up with arbitrary items there and ends here.
"""

_SECTIONS: dict[str, Mapping[str, Entry]] = {
    "Of the settings (`metrics`)": METRICS,
    "Of what was to be forgotten": FORGETTING,
    "Distance from the retrained model": DISTANCES,
    "Of a spam attack's targets": TARGETS,
    "Of `erase-bench report`": REPORT,
}


def page() -> str:
    """Return the page."""
    from recbole.evaluator.metrics import METRICS as known

    parts = [_HEAD]
    for title, entries in _SECTIONS.items():
        parts.append(f"\n## {title}\n\n| column | formula | better | over | trap |\n|---|---|---|---|---|\n")
        for name, entry in entries.items():
            metric = known[name.lower()] if entries is METRICS else None
            shown = name if metric is None else f"{name}{'@k' if metric.cut else ''}"
            better = entry.better if metric is None else "less" if metric.smaller else "more"
            parts.append(f"| {shown} | {entry.formula} | {better} | {entry.over} | {entry.trap} |\n")
    return "".join(parts)


if __name__ == "__main__":
    print(page(), end="")
