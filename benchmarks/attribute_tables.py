"""The tables of :mod:`attribute`: what recommendations are worth, and what attackers read, beside how nothing looks."""

from collections import defaultdict
from statistics import mean

import pandas as pd

from recbole.report.columns import matching
from recbole.report.tables import as_markdown, mean_and_deviation, write_csv
from recbole.utils.files import atomic_write

BASE, TRAINING_ROWS, UNTRAINED = "base", "training rows", "untrained"
PROTOCOLS = ("inside", "outside", "outside_reversed", "insider_10", "insider_25", "insider_50", "who")
CHOSEN = ("worst", "adaptive")
UTILITY = {"HR@10": "hitagainst", "NDCG@10": "ndcgagainst"}
AUC = "attack_auc"

NOTES = {
    "utility": "One right item among 100, ties against it. Means and standard deviations over seeds.",
    "inside": "AUC of attackers who know four of five folds of all people: mean and standard deviation over seeds, and "
    "the interval over people (ends: means over seeds).",
    "share": "AUC where 60 % of the people are protected, one seed: `worst` chose attacker and view on people whom it "
    "knows, `adaptive` the sign, too.",
    "null": "AUC beside what shuffled groups come to (200 times, of trees and MLP 20 times), one seed. training rows: "
    "what no model needs to hide better; untrained: the model's initial values.",
}


def tables(records, path):
    """Write all tables as Markdown, and every row as .csv beside it; return the text.

    Args:
        records: (part, cell, attribute, seed, name of the step) to the record of its result file, or None.
        path: of the Markdown file.
    """
    found = {key: record for key, record in records.items() if record is not None}
    made = {"utility": utility(found), "inside": inside(found), "share": share(found), "null": null(found)}
    parts = [f"{NOTES[name]}\n\n{as_markdown(pd.DataFrame(lines))}" for name, lines in made.items() if lines]
    parts.append(not_run(records))
    text = "\n\n".join(part for part in parts if part)
    with atomic_write(path) as file:
        file.write(text + "\n")
    write_csv(pd.DataFrame(long(found)), path.with_suffix(".csv"))
    return text


def method_of(name):
    """Return the method of a step, and whether it is the attack on it."""
    words = name.split()
    return (BASE if name == BASE else words[1]), words[-1] == "attack"


def long(found):
    """Yield every row of utility and attacks once, with its step before it."""
    seen = set()
    for (_, cell, attribute, seed, name), record in found.items():
        if (cell, seed, name) in seen:
            continue
        seen.add((cell, seed, name))
        of_attribute = "" if name == BASE else attribute
        for row in record["metrics"]:
            if row["split"] == "test" or row["metric"].startswith("attack_"):
                told = {
                    key: row.get(key) for key in ("model", "view", "population", "metric", "k", "value", "low", "high")
                }
                yield {"cell": cell, "attribute": of_attribute, "seed": seed, "step": name, **told}


def utility(found):
    """Return a line for each cell, attribute and method, of the methods where all are protected."""
    values = defaultdict(lambda: defaultdict(dict))
    for (part, cell, attribute, seed, name), record in found.items():
        method, is_attack = method_of(name)
        if part != "inside" or is_attack:
            continue
        key = (cell, "" if method == BASE else attribute, method)
        kind = {"model": BASE if method == BASE else "unlearned"}
        for heading, metric in UTILITY.items():
            wanted = kind | {"metric": metric, "k": 10, "split": "test", "population": "all", "minus": None}
            rows = matching(record["metrics"], wanted)
            values[key][heading][seed] = rows[-1]["value"]
    return [
        {"cell": cell, "attribute": attribute, "method": method, "seeds": len(of[next(iter(UTILITY))])}
        | {heading: mean_and_deviation(of[heading].values(), ".3f") for heading in UTILITY}
        for (cell, attribute, method), of in sorted(values.items(), key=lambda one: order(found, one[0]))
    ]


def order(found, key):
    """Return where a line stands: as the steps do."""
    cells = list(dict.fromkeys(one[1] for one in found))
    methods = list(dict.fromkeys(method_of(one[4])[0] for one in found))
    attributes = ["", *dict.fromkeys(one[2] for one in found)]
    return cells.index(key[0]), attributes.index(key[1]), methods.index(key[2])


def areas(record, **wanted):
    """Return the rows of AUC of an attack's record."""
    return matching(record["metrics"], {"metric": AUC, **wanted})


def inside(found):
    """Return a line for each cell, attribute, method and view, a column for each attacker."""
    rows = defaultdict(lambda: defaultdict(list))
    for (part, cell, attribute, _, name), record in found.items():
        method, is_attack = method_of(name)
        if part == "inside" and is_attack:
            for row in areas(record):
                rows[cell, attribute, method, row["view"]][row["population"].split("/")[1]].append(row)
    lines = []
    for (cell, attribute, method, view), attackers in rows.items():
        line = {"cell": cell, "attribute": attribute, "method": method, "view": view}
        line["seeds"] = len(next(iter(attackers.values())))
        lines.append(line | {attacker: with_interval(own) for attacker, own in attackers.items()})
    return sorted(lines, key=lambda line: order(found, (line["cell"], line["attribute"], line["method"])))


def with_interval(rows):
    """Return the mean and deviation of rows, one a seed, and the means of the ends of their intervals."""
    low, high = (mean(row[end] for row in rows) for end in ("low", "high"))
    return f"{mean_and_deviation([row['value'] for row in rows], '.3f')} [{low:.2f}, {high:.2f}]"


def share(found):
    """Return a line for each cell, attribute, protocol and who chose, a column for each method."""
    lines = defaultdict(dict)
    for (part, cell, attribute, _, name), record in found.items():
        method, is_attack = method_of(name)
        for protocol in PROTOCOLS if part == "share" and is_attack else ():
            for chosen in CHOSEN:
                for row in areas(record, population=f"{protocol}/{chosen}"):
                    lines[cell, attribute, protocol, chosen][method] = with_interval([row])
    keys = ("cell", "attribute", "protocol", "attacker")
    methods = list(dict.fromkeys(method for of in lines.values() for method in of))
    return [dict(zip(keys, key, strict=True)) | {m: of.get(m, "") for m in methods} for key, of in lines.items()]


def null(found):
    """Return a line for each cell, attribute, method and view, a column for each attacker: AUC, and what nothing is."""
    lines = {}
    for (part, cell, attribute, _, name), record in found.items():
        method, is_attack = method_of(name)
        for row in areas(record) if part == "null" and is_attack else ():
            attacker, *shuffled = row["population"].split("/")[1:]
            who = UNTRAINED if row["model"] == UNTRAINED else TRAINING_ROWS if row["view"] == "history" else method
            line = lines.setdefault((cell, attribute, who, row["view"]), {})
            told = f"null [{row['low']:.2f}, {row['high']:.2f}]" if shuffled else f"{row['value']:.3f}"
            line[attacker] = f"{line[attacker]}, {told}" if attacker in line else told
    keys = ("cell", "attribute", "method", "view")
    attackers = list(dict.fromkeys(attacker for of in lines.values() for attacker in of))
    return [dict(zip(keys, key, strict=True)) | {a: of.get(a, "") for a in attackers} for key, of in lines.items()]


def not_run(records):
    """Return what has no result, a line for each part and cell."""
    missing = defaultdict(set)
    for (part, cell, _, seed, name), record in records.items():
        if record is None:
            missing[part, cell].add(f"{seed} {name}")
    return "\n".join(f"Not run of {part}, {cell}: {len(steps)} steps." for (part, cell), steps in missing.items())
