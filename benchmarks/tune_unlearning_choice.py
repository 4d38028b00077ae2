"""The rule by which `tune_unlearning.py` selects a candidate, the table of results, and the preset of selected values.

The measure is the mean log-odds of the forgotten pairs that were trained on: log(p / (1 - p)) with the softmax over all
items as p. The *gap* of a candidate is the absolute
difference from the retrained model's mean log-odds, averaged over runs (a run is a seed and a category).

1. A candidate is excluded if a request diverged or timed out, if a trial exceeded its limit, if its scores are NaN or
   infinite, or if on average over runs it loses more than ``max_loss`` of the base's NDCG@10 on the validation rows. It
   is also excluded if its gap is not smaller than that of the base by at least one standard error: then the candidate
   has no effect, or there is nothing to forget.
2. The best of the remaining candidates is the one with the smallest gap. The *excess* of a candidate is its gap minus
   the smallest gap. Candidates whose excess is at most its standard error count as equally good (after L. Breiman et
   al., "Classification and Regression Trees", 1984). The standard error is that of a mean of paired differences,
   clustered by user, since the pairs of a user are not independent. Users are used rather than seeds, since there are
   few seeds; and pairing cancels the variation that two candidates of a run share.
3. Among these, the candidate is selected with the smallest Jensen-Shannon divergence from the retrained model, between
   the two softmax distributions over items, averaged over users without a request.

The *way* of a candidate is its position between the log-odds of the base (0 %) and of the retrained model (100 %); more
than 100 % is beyond the retrained model.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import yaml

from recbole.utils import UserError

NONE = "none"
"""Word in the comment of a preset for a model on which every candidate was excluded."""

NO_NEARER = "no nearer to retrained than base is"
"""Reason for excluding a candidate whose gap is not smaller than that of the base by a standard error."""

RATIO = "{:.0%}"

FAR = 100
"""Absolute way (as a ratio) or log-odds from which the table gives fewer digits."""


class Run(NamedTuple):
    """The results for a seed and category.

    Attributes:
        base, retrained: scores of the two models, as returned by ``tune_unlearning_subject.Subject.scores``.
        trials: for each candidate what ``Subject.tried`` returned, or None if it was not run.
    """

    base: dict
    retrained: dict
    trials: list


@dataclass
class Row:
    """The values of a candidate that the rule uses: means over runs, NaN if a run has none.

    Attributes:
        out: why the candidate is excluded; empty if it is not.
        log_odds: mean log-odds of the forgotten pairs.
        way: position of the log-odds between base (0) and retrained model (1).
        gap: absolute difference of the log-odds from the retrained model's.
        loss: loss of NDCG@10 relative to the base.
        divergence: Jensen-Shannon divergence from the retrained model, for users without a request.
        cpu_seconds: CPU seconds of a trial.
        outcomes: number of requests by outcome over all runs, as text.
        excess, error: gap minus the smallest gap, and the standard error of this difference.
    """

    out: str
    log_odds: float = np.nan
    way: float = np.nan
    gap: float = np.nan
    loss: float = np.nan
    divergence: float = np.nan
    cpu_seconds: float = np.nan
    outcomes: str = ""
    excess: float = np.nan
    error: float = np.nan


def odds_of(scores):
    """Return the log-odds of the forgotten pairs in a model's scores, float64 [pairs]; NaN for None."""
    return np.array(scores["log_odds"], dtype=float)


def rows_of(runs, max_loss):
    """Return a :class:`Row` for each candidate.

    Args:
        runs: list of :class:`Run` with the same candidates.
        max_loss: largest accepted loss of NDCG@10, as a fraction of the base's.
    """
    rows = [row_of(runs, [run.trials[at] for run in runs], max_loss) for at in range(len(runs[0].trials))]
    base_gap = np.mean([abs((odds_of(run.base) - odds_of(run.retrained)).mean()) for run in runs])
    for at, row in enumerate(rows):
        if not row.out and base_gap - row.gap < error_of(runs, [(run.trials[at], run.base) for run in runs]):
            row.out = NO_NEARER
    good = [at for at, row in enumerate(rows) if not row.out]
    if good:
        best = min(good, key=lambda at: rows[at].gap)
        for at in good:
            rows[at].excess = rows[at].gap - rows[best].gap
            rows[at].error = error_of(runs, [(run.trials[at], run.trials[best]) for run in runs])
    return rows


def error_of(runs, pairs):
    """Return the standard error of the mean difference between two gaps.

    Args:
        runs: list of :class:`Run`.
        pairs: for each run the two scores or trials whose gaps are compared.
    """
    return sum(squared_error(run, *pair) for run, pair in zip(runs, pairs, strict=True)) ** 0.5 / len(runs)


def row_of(runs, trials, max_loss):
    """Return the :class:`Row` of a candidate, without the values that depend on other candidates.

    Args:
        runs: list of :class:`Run`.
        trials: the candidate's trial of each run, or None.
        max_loss: as in :func:`rows_of`.
    """
    there = [trial for trial in trials if trial is not None]
    counts = {}
    for trial in there:
        for kind, count in trial["outcomes"].items():
            counts[kind] = counts.get(kind, 0) + count
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    cpu = float(np.mean([trial["cpu_seconds"] for trial in there])) if there else np.nan
    over = [trial for trial in there if not trial["complete"]]
    if len(there) < len(trials) or over:
        out = f"over {max(trial['limit'] for trial in over):g} s" if over else "not run"
        return Row(out, cpu_seconds=cpu, outcomes=told)
    pairs = list(zip(runs, trials, strict=True))
    means = np.array([[odds_of(s).mean() for s in (run.base, trial, run.retrained)] for run, trial in pairs])
    base, own, retrained = means.T
    lost = float(np.mean([1 - (trial["utility"] or np.nan) / run.base["utility"] for run, trial in pairs]))
    divergence = np.mean(np.array([trial["divergence"] for trial in trials], dtype=float))
    row = Row("", own.mean(), ((own - base) / (retrained - base)).mean(), np.abs(own - retrained).mean(), lost,
              float(divergence), cpu, told)  # fmt: skip
    failed = [f"{counts[kind]} {kind}" for kind in ("diverged", "timeout") if counts.get(kind)]
    if failed:
        row.out = ", ".join(failed)
    elif not np.isfinite([row.gap, row.loss, row.divergence]).all():
        row.out = "scores are no numbers"
    elif lost > max_loss:
        row.out = f"loses more than {max_loss:.0%}"
    return row


def squared_error(run, trial, best):
    """Return the squared standard error of the difference between the gaps of two trials of a run.

    The error is that of a mean over forgotten pairs, clustered by user; 0 if there is only one user.
    """
    retrained, people = odds_of(run.retrained), np.unique(run.retrained["people"], return_inverse=True)[1]
    apart = [odds_of(one) - retrained for one in (trial, best)]
    further = np.sign(apart[0].mean()) * apart[0] - np.sign(apart[1].mean()) * apart[1]
    sums = np.bincount(people, further - further.mean())
    n_people = len(sums)
    return n_people / (n_people - 1) * float(np.square(sums / len(further)).sum()) if n_people > 1 else 0.0


def choose(rows):
    """Return the index of the row that the rule selects, or None if all are excluded."""
    good = [at for at, row in enumerate(rows) if not row.out and row.excess <= row.error]
    return min(good, key=lambda at: rows[at].divergence, default=None)


# --- the table -------------------------------------------------------------------------------------------------------
HEADINGS = ("", "values", "log-odds", "way", "gap over best ± s.e.", "NDCG@10", "JS others", "CPU s", "requests")


def tables(found, max_loss, trainings):
    """Return the tables of all models as Markdown, with the cost of the retrained models.

    Args:
        found: ``(algorithm, model)`` to the candidates' values and the list of :class:`Run`.
        max_loss: as in :func:`rows_of`.
        trainings: ``base`` and ``retrained`` to a list of CPU seconds, one for each training.
    """
    parts = []
    for model in dict.fromkeys(model for _, model in found):
        mine = {algorithm: of for (algorithm, name), of in found.items() if name == model}
        runs = next(iter(mine.values()))[1]
        lines = [f"**{model}**, {len(runs)} runs", "", line_of(HEADINGS), "|" + "---|" * len(HEADINGS)]
        for kind in ("base", "retrained"):
            of = [getattr(run, kind) for run in runs]
            odds, utility, apart = (
                np.mean([value(one) for one in of])
                for value in (lambda s: odds_of(s).mean(), lambda s: s["utility"], lambda s: s["divergence"])
            )
            way = RATIO.format(kind == "retrained")
            lines.append(line_of([kind, "", f"{odds:.3f}", way, "", f"{utility:.4f}", f"{apart:.4f}", "", ""]))
        for algorithm, (candidates, of) in mine.items():
            rows = rows_of(of, max_loss)
            chosen = choose(rows)
            lines += [
                cells_of(algorithm, *pair, at == chosen) for at, pair in enumerate(zip(candidates, rows, strict=True))
            ]
        parts.append("\n".join(lines))
    trials = [trial for _, runs in found.values() for run in runs for trial in run.trials if trial is not None]
    parts.append(cost_of(trials, trainings, max_loss))
    return "\n\n".join(parts) + "\n"


def cells_of(algorithm, values, row, chosen):
    """Return the line of a candidate in the table; its values are bold if it is the selected one."""
    point = ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )
    known = np.isfinite(row.log_odds)
    requests = f"{row.outcomes}; out: {row.out}" if row.out else row.outcomes
    cells = [algorithm, f"**{point}**" if chosen else point]
    cells += [f"{row.log_odds:.{'3f' if abs(row.log_odds) < FAR else '1e'}}"] if known else [""]
    cells += [RATIO.format(row.way) if abs(row.way) < FAR else "beyond"] if known else [""]
    cells += [f"{row.excess:.3f} ± {row.error:.3f}" if not row.out else ""]
    cells += [f"{-row.loss:+.1%}", f"{row.divergence:.4f}"] if known else ["", ""]
    return line_of([*cells, f"{row.cpu_seconds:.1f}" if np.isfinite(row.cpu_seconds) else "", requests])


def line_of(cells):
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def cost_of(trials, trainings, max_loss):
    """Return a paragraph about the rule and its cost."""
    base, retrained = trainings["base"], trainings["retrained"]
    return (
        f"Out: the trial exceeded its limit of CPU seconds, a request diverged or timed out, over {max_loss:.0%} of "
        "the base's NDCG@10 is lost, or the gap is not smaller than the base's by at least one standard error of this "
        "difference, which is not shown. Chosen (bold): of the others, those whose gap exceeds the least one by at "
        "most one standard error count as equally good, and of these the one with the least JS others is taken. The "
        "choice uses models that were retrained without the forgotten interactions, which somebody who unlearns does "
        f"not have. Its cost: models retrained for it: {len(retrained)} ({sum(retrained):.0f} CPU seconds); base "
        f"models beside them: {len(base)} ({sum(base):.0f}); trials, one for each candidate and run: {len(trials)} "
        f"({sum(trial['cpu_seconds'] for trial in trials):.0f})."
    )


# --- the preset ------------------------------------------------------------------------------------------------------
def preset_text(text, found, max_loss):
    """Return the text of a preset with the selected values; lines of other algorithms and models are unchanged.

    Args:
        text: existing text of the preset.
        found, max_loss: as in :func:`tables`.

    Raises:
        UserError: the existing preset does not have one line for each model under an algorithm.
    """
    head, blocks = [], {}
    current = head
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            current = blocks.setdefault(line.partition(":")[0], [])
        else:
            current.append(line)
    expected = yaml.safe_load(text) or {}
    for (algorithm, model), (candidates, runs) in found.items():
        rows = rows_of(runs, max_loss)
        chosen = choose(rows)
        block = blocks[algorithm] = without(blocks.get(algorithm, []), model)
        expected.setdefault(algorithm, {}).pop(model, None)
        if chosen is None:
            block.append(
                f"  # {model}: {NONE} of {len(rows)} candidates: {'; '.join(dict.fromkeys(r.out for r in rows))}"
            )
            continue
        expected[algorithm][model] = candidates[chosen]
        block.append(f"  {model}: {one_line(candidates[chosen])}   # {note_of(rows[chosen], len(runs))}")
    lines = [*head]
    for algorithm, block in blocks.items():
        lines += [f"{algorithm}:" if expected[algorithm] else f"{algorithm}: {{}}", *block]
    new = "\n".join(lines) + "\n"
    if yaml.safe_load(new) != expected:
        raise UserError("the preset must have one line for each model under its algorithm; nothing was written")
    return new


def without(block, model):
    """Return the lines of an algorithm without the line of a model and the comments above it."""
    kept, absent = [], f"  # {model}: {NONE} "
    for line in block:
        if line.startswith(f"  {model}:"):
            while kept and kept[-1].startswith("  #") and f": {NONE} of " not in kept[-1]:
                kept.pop()
        elif not line.startswith(absent):
            kept.append(line)
    return kept


def one_line(values):
    """Return a dictionary as a YAML mapping in one line."""
    return yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=10**6).strip()


def note_of(row, n_runs):
    """Return the comment after the selected values of a model in the preset."""
    runs = f"{n_runs} runs" if n_runs > 1 else "1 run"
    return f"way {row.way:.0%}, NDCG@10 {-row.loss:+.1%}, JS of others {row.divergence:.4f}; {runs}"
