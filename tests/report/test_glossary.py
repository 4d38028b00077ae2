"""Every printed column has a glossary entry, and the glossary page is generated from the entries."""

import ast
from pathlib import Path

from recbole.evaluator.metrics import METRICS
from recbole.report import glossary
from recbole.report.closeness import COUPLED, COUPLING, EXCESS, SAME_EPOCH
from recbole.report.costs import AMORTISED, COSTS

REPOSITORY = Path(__file__).parents[2]
PROBES = REPOSITORY / "recbole/evaluator/probes"


def names_in(path):
    """Return the names of measures in a probe's source: keys of the form ``name@k``, and texts made by f-strings."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2:
            found |= set(texts(node.elts[0]))
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
            found |= set(texts(node.slice.elts[0]))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add" and node.args:
            found |= set(texts(node.args[0]))
    return {name for name in found if "_" in name or name == "jaccard"}


def texts(node):
    """Return a text, or what an f-string is for both kinds of items that it is about and both ends."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if not isinstance(node, ast.JoinedStr):
        return []
    found = [""]
    for part in node.values:
        if isinstance(part, ast.Constant):
            found = [text + part.value for text in found]
        else:
            choices = ("min", "max") if part.value.id == "name" else ("sensitive", "forgotten")
            found = [text + choice for text in found for choice in choices]
    return found


def test_every_metric_has_an_entry():
    assert sorted(map(str.lower, glossary.METRICS)) == sorted(METRICS)


def test_every_measure_of_a_probe_has_an_entry():
    told = {*glossary.FORGETTING, *glossary.DISTANCES, *glossary.TARGETS}
    used = set().union(*(names_in(path) for path in sorted(PROBES.glob("*.py"))))
    assert len(used) >= 18
    assert used - {"recall_of_sensitive", "held_out"} == told


def test_every_heading_of_the_report_that_is_no_measure_has_an_entry():
    assert {COUPLED, SAME_EPOCH, EXCESS, COUPLING, *COSTS, *AMORTISED} == set(glossary.REPORT)


def test_the_page_is_made_of_the_entries():
    assert (REPOSITORY / "docs/metrics.md").read_text(encoding="utf-8") == glossary.page()
