"""How `tune_unlearning.py` chooses among candidates, the table that shows it, and the preset that has it.

The measure is the mean log-odds of the forgotten pairs that were trained on. How far it is from the retrained model's,
in either direction, is a candidate's *gap*, the mean over runs (a run is a seed and a category).

1. Out is a candidate with which a request diverged or ran out of time, that was over its limit, whose scores are no
   numbers, or that loses more than ``max_loss`` of the base's NDCG@10 on the validation rows, in the mean of the runs;
   and one that is not nearer to the retrained model than the base is, by a standard error or more: it does nothing, or
   there is nothing to forget.
2. Of the others the one with the least gap is the best. Those whose gap exceeds it by no more than one standard error
   of that excess count as equally good (after L. Breiman et al., "Classification and Regression Trees", 1984). The
   excess is a mean of differences pair by pair, and its error is over people, whose pairs are not independent: seeds
   are few, and what is common to two candidates of a run cancels.
3. Of these the one is chosen from which people who asked for nothing diverge least from the retrained model.

The *way* is how far from the base's log-odds to the retrained model's a candidate gets: 100 % is there, more is beyond.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import yaml

from recbole.utils import UserError

NONE = "none"
"""What stands behind a model in a preset's comment where no candidate passed."""

NO_NEARER = "no nearer to retrained than base is"
"""Why a candidate is out that has not taken a standard error off the base's distance."""

RATIO = "{:.0%}"

FAR = 100
"""From here on a table does not give a way, nor every digit of log-odds."""


class Run(NamedTuple):
    """What was found of a seed and category: scores of base and retrained model, a trial or None for each candidate."""

    base: dict
    retrained: dict
    trials: list


@dataclass
class Row:
    """What the rule looks at of a candidate; means over runs, NaN where a run has none.

    Attributes:
        out: why it is no candidate, or an empty string.
        log_odds: mean of the forgotten pairs.
        way: share of the way from base to retrained.
        gap: distance of the log-odds from the retrained model's.
        loss: of NDCG@10, relative to the base.
        divergence: of others from the retrained model.
        cpu_seconds: of a trial.
        outcomes: requests by outcome, of all runs.
        excess, error: by how much the gap exceeds the best one, and that difference's standard error.
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
    """Return the log-odds of a model's forgotten pairs, float64; NaN where a file has null."""
    return np.array(scores["log_odds"], dtype=float)


def rows_of(runs, max_loss):
    """Return a :class:`Row` for each candidate.

    Args:
        runs: list of :class:`Run`, alike in their candidates.
        max_loss: share of the base's NDCG@10 that a candidate may lose.
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
    """Return the standard error of a mean difference of gaps, of two scores a run."""
    return sum(squared_error(run, *pair) for run, pair in zip(runs, pairs, strict=True)) ** 0.5 / len(runs)


def row_of(runs, trials, max_loss):
    """Return the row of a candidate, what depends on other candidates left out."""
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
    """Return the squared standard error, over people, of how much further from retrained a trial is than the best."""
    retrained, people = odds_of(run.retrained), np.unique(run.retrained["people"], return_inverse=True)[1]
    apart = [odds_of(one) - retrained for one in (trial, best)]
    further = np.sign(apart[0].mean()) * apart[0] - np.sign(apart[1].mean()) * apart[1]
    sums = np.bincount(people, further - further.mean())
    n_people = len(sums)
    return n_people / (n_people - 1) * float(np.square(sums / len(further)).sum()) if n_people > 1 else 0.0


def choose(rows):
    """Return the place of the row that the rule chooses, or None if all are out."""
    good = [at for at, row in enumerate(rows) if not row.out and row.excess <= row.error]
    return min(good, key=lambda at: rows[at].divergence, default=None)


# --- the table -------------------------------------------------------------------------------------------------------
HEADINGS = ("", "values", "log-odds", "way", "gap over best ± s.e.", "NDCG@10", "JS others", "CPU s", "requests")


def tables(found, max_loss, trainings):
    """Return the tables of all models as Markdown, with what the oracle cost.

    Args:
        found: (algorithm, model) to the candidates' values and the runs.
        max_loss: as of :func:`rows_of`.
        trainings: CPU seconds of each training by kind.
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
    """Return the line of a candidate."""
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
    """Return the sentences about the rule and what it cost."""
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
    """Return the text of a preset with what is chosen; pairs that were not tried stay as they are, comments and all.

    Args:
        text: of the preset before.
        found, max_loss: as of :func:`tables`.

    Raises:
        UserError: the text is not laid out as a line a model.
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
        raise UserError("the preset is not laid out as a line for each model under its algorithm; nothing was written")
    return new


def without(block, model):
    """Return the lines of an algorithm without those of a model and the comments above them."""
    kept, absent = [], f"  # {model}: {NONE} "
    for line in block:
        if line.startswith(f"  {model}:"):
            while kept and kept[-1].startswith("  #") and f": {NONE} of " not in kept[-1]:
                kept.pop()
        elif not line.startswith(absent):
            kept.append(line)
    return kept


def one_line(values):
    """Return values as a mapping of YAML in one line."""
    return yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=10**6).strip()


def note_of(row, n_runs):
    """Return the comment behind a chosen candidate."""
    runs = f"{n_runs} runs" if n_runs > 1 else "1 run"
    return f"way {row.way:.0%}, NDCG@10 {-row.loss:+.1%}, JS of others {row.divergence:.4f}; {runs}"
