"""The tables that :mod:`attribute` writes: utility, AUC of inference attacks, and reference values of the AUC."""

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
"""Columns of the utility table, heading to metric at k = 10, for a cells file without ``utility``."""
AUC = "attack_auc"
COLUMNS = ("model", "split", "view", "population", "minus", "metric", "k", "value", "low", "high")
"""Columns of a result row that the .csv keeps."""

NOTES = {
    "utility": "Quality of the recommendations. Means and standard deviations over seeds.",
    "inside": "AUC of attackers who know four of five folds of all users: mean and standard deviation over seeds, and "
    "the interval over users (ends: means over seeds).",
    "share": "AUC with 60 % of the users protected, one seed. `worst` selects attacker and view on the users whose "
    "group it knows; `adaptive` also selects the sign of the predictions.",
    "null": "AUC, and in brackets the interval with randomly shuffled groups (200 permutations; 20 for trees and MLP), "
    "one seed. training rows: attack on the users' training interactions instead of a model, which no model needs to "
    "hide better; untrained: attack on the model's initial parameters.",
}


def tables(records, path, columns=UTILITY):
    """Write all tables to a Markdown file, and the rows behind them to a .csv next to it. Return the Markdown text.

    Args:
        records: (part, cell, attribute, seed, step name) to the record in the result file, or None if it is missing.
        path: path of the Markdown file.
        columns: the columns of the utility table, heading to metric at k = 10.
    """
    found = {key: record for key, record in records.items() if record is not None}
    made = {"utility": utility(found, columns), "inside": inside(found), "share": share(found), "null": null(found)}
    parts = [f"{NOTES[name]}\n\n{as_markdown(pd.DataFrame(lines))}" for name, lines in made.items() if lines]
    parts.append(not_run(records))
    text = "\n\n".join(part for part in parts if part)
    with atomic_write(path) as file:
        file.write(text + "\n")
    write_csv(pd.DataFrame(long(found, columns)), path.with_suffix(".csv"))
    return text


def method_of(name):
    """Return (method, whether the step is an attack) for the name of a step."""
    words = name.split()
    return (BASE if name == BASE else words[1]), words[-1] == "attack"


def long(found, columns):
    """Yield the result rows behind the tables once, as dictionaries that begin with cell, attribute, seed and step."""
    seen = set()
    for (_, cell, attribute, seed, name), record in found.items():
        if (cell, seed, name) in seen:
            continue
        seen.add((cell, seed, name))
        of_attribute = "" if name == BASE else attribute
        is_attack = method_of(name)[1]
        for row in areas(record) if is_attack else (quality(record, name, metric) for metric in columns.values()):
            about = {"cell": cell, "attribute": of_attribute, "seed": seed, "step": name}
            yield about | {column: row.get(column) for column in COLUMNS}


def read_long(path):
    """Return the results that :func:`tables` wrote as .csv: (cell, seed, step name) to a record with ``metrics``."""
    table = pd.read_csv(path)
    records = defaultdict(lambda: {"metrics": []})
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        records[row["cell"], row["seed"], row["step"]]["metrics"].append({column: row[column] for column in COLUMNS})
    return dict(records)


def quality(record, name, metric):
    """Return the row of a metric at k = 10 on test, for the last model that the step ``name`` made."""
    wanted = {"metric": metric, "k": 10, "split": "test", "population": "all", "minus": None}
    return matching(record["metrics"], wanted | {"model": BASE if name == BASE else "unlearned"})[-1]


def utility(found, columns):
    """Return the utility table, a dictionary per cell, attribute and method; only models that protect all users."""
    values = defaultdict(lambda: defaultdict(dict))
    for (part, cell, attribute, seed, name), record in found.items():
        method, is_attack = method_of(name)
        if part != "inside" or is_attack:
            continue
        key = (cell, "" if method == BASE else attribute, method)
        for heading, metric in columns.items():
            values[key][heading][seed] = quality(record, name, metric)["value"]
    return [
        {"cell": cell, "attribute": attribute, "method": method, "seeds": len(of[next(iter(columns))])}
        | {heading: mean_and_deviation(of[heading].values(), ".3f") for heading in columns}
        for (cell, attribute, method), of in sorted(values.items(), key=lambda one: order(found, one[0]))
    ]


def order(found, key):
    """Return the sort key of a line: the positions of its (cell, attribute, method) in the order of the steps."""
    cells = list(dict.fromkeys(one[1] for one in found))
    methods = list(dict.fromkeys(method_of(one[4])[0] for one in found))
    attributes = ["", *dict.fromkeys(one[2] for one in found)]
    return cells.index(key[0]), attributes.index(key[1]), methods.index(key[2])


def areas(record, **wanted):
    """Return the AUC rows of an attack's record that match the given columns (name to value)."""
    return matching(record["metrics"], {"metric": AUC, **wanted})


def inside(found):
    """Return the table for ``inside``: a dictionary per cell, attribute, method and view; a column per attacker."""
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
    """Return as text the mean and deviation of rows (one per seed), and the mean ends of their intervals."""
    low, high = (mean(row[end] for row in rows) for end in ("low", "high"))
    return f"{mean_and_deviation([row['value'] for row in rows], '.3f')} [{low:.2f}, {high:.2f}]"


def share(found):
    """Return the table for ``share``: a dictionary per cell, attribute, protocol and selection; a column per method.

    The selection rule of the attacker is ``worst`` or ``adaptive`` (see :data:`NOTES`).
    """
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
    """Return the table for ``null``: a dictionary per cell, attribute, method and view; a column per attacker.

    A cell holds the AUC, followed by the interval with shuffled groups where this was computed.
    """
    lines = {}
    for (part, cell, attribute, _, name), record in found.items():
        method, is_attack = method_of(name)
        for row in areas(record) if part == "null" and is_attack else ():
            attacker, *shuffled = row["population"].split("/")[1:]
            who = UNTRAINED if row["model"] == UNTRAINED else TRAINING_ROWS if row["view"] == "history" else method
            line = lines.setdefault((cell, attribute, who, row["view"]), {})
            text = f"null [{row['low']:.2f}, {row['high']:.2f}]" if shuffled else f"{row['value']:.3f}"
            line[attacker] = f"{line[attacker]}, {text}" if attacker in line else text
    keys = ("cell", "attribute", "method", "view")
    attackers = list(dict.fromkeys(attacker for of in lines.values() for attacker in of))
    return [dict(zip(keys, key, strict=True)) | {a: of.get(a, "") for a in attackers} for key, of in lines.items()]


def not_run(records):
    """Return text with the number of steps without a result, one line per part and cell."""
    missing = defaultdict(set)
    for (part, cell, _, seed, name), record in records.items():
        if record is None:
            missing[part, cell].add(f"{seed} {name}")
    return "\n".join(f"Not run of {part}, {cell}: {len(steps)} steps." for (part, cell), steps in missing.items())
