"""Result files in which one value was changed by hand: the report works, or says in one line what is wrong where."""

import copy
import json
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import record, row

from recbole.quick_start import report
from recbole.report.columns import DISTANCES, FORGOTTEN, FORGOTTEN_PAIRS, HEADROOM, NDCG, VIEW_OF_SPAM, spam

DELETED = object()
ODD = (DELETED, None, 5, "x", [], {}, [[]], [{}], float("inf"), float("nan"), 10**400, -1, 0, True, "\ud800")
OPTIONS = ((), ("--brief",), ("--csv",), ("--k", "10"))


def _everything(seed=2):
    """Return a record with every key and kind of result row that the report reads."""
    models = {"base": 0.5, "rebuilt": 0.45, "unlearned": 0.4, "retrained": 0.3}
    interval = {"low": 0.1, "high": 0.6}
    rows = [
        row(wanted, value, kind, seed=seed, **interval)
        for kind, value in models.items()
        for wanted in (FORGOTTEN, *FORGOTTEN_PAIRS.values(), *DISTANCES.values())
    ]
    rows += [row(HEADROOM, 0.2, "base", seed=seed, **interval), row(NDCG, 0.2, "base", seed=seed, minus="retrained")]
    rows += [
        row(wanted, value, kind, seed=seed, reference=name)
        for wanted in DISTANCES.values()
        for kind, value in models.items()
        for name in ("other", "same", "one")
    ]
    attack = {"split": "gender", "view": "any", "population": "inside/worst", "masking": None}
    rows += [
        row({"metric": metric, **attack}, 0.7, "unlearned", seed=seed, **interval)
        for metric in ("attack_auc", "attack_macro_f1")
    ]
    made = record(rows=rows, seed=seed)
    made["timing"] |= {"rebuilt_seconds": [0.1] * 4, "rebuilt_cpu_seconds": [0.1] * 4, "speedup_over_retraining": 2.0}
    made["requests"] |= {"median_relative_change": 0.1}
    made["config"] |= {"sensitive_category": "horror"}
    return made | {
        "spam": None,
        "selected_epochs": {"base": 2, "retrained": {"3": 9}},
        "other_seeds": {"other": seed + 1},
        "same_epoch": {"same": 3},
        "monolithic": ["one"],
        "certificates": {"3": {"epsilon": 0.1}},
    }


def _of_spam(seed=2):
    wanted = (NDCG | VIEW_OF_SPAM, *spam(10).values())
    rows = [
        row(each, 0.4, kind, checkpoint=at, low=0.1, high=0.6)
        for each in wanted
        for kind, at in (("clean", None), ("base", 3), ("unlearned", 3), ("retrained", 3))
    ]
    return record(rows=rows) | {"spam": {"target_items": ["7"], "sha256": "0" * 64}}


def _of_old_program(seed=2):
    made = record(timing={"cpu_seconds_mean": 2.0, "retraining_cpu_seconds": 60.0})
    del made["requests"]["worked"]
    return made


RECORDS = (_everything(), _of_spam(), _of_old_program())


def places_in(value, path=()):
    """Yield the path, a tuple of keys and indices, of every value in nested dictionaries and lists."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places_in(part, (*path, key))


def edited(made, path, odd):
    """Return a copy of a record with another value at the path, or without the key or entry at its end."""
    made = copy.deepcopy(made)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    if odd is DELETED:
        del holder[path[-1]]
    else:
        holder[path[-1]] = odd
    return made


EDITS = {
    depth: [(made, path) for made in RECORDS for path in places_in(made) if len(path) <= depth] for depth in (1, 2, 3)
}
"""Depth to the places that are at most so deep, so that the few upper ones are edited as often as the many others."""


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    """A function that writes records to files, and returns the exit status and the messages of a report on them."""
    folder = tmp_path_factory.mktemp("edited")

    def ask(*records, options=()):
        files = [folder / f"{at}.json" for at in range(len(records))]
        for path, made in zip(files, records, strict=True):
            path.write_text(json.dumps(made))
        options = [*options, str(folder / "out.csv")] if options == ("--csv",) else options
        out, told = StringIO(), StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", out)
            patch.setattr("sys.stderr", told)
            status = report.main([*map(str, files), *options])
        return status, told.getvalue()

    return ask


@pytest.mark.parametrize("made", RECORDS)
@pytest.mark.parametrize("options", OPTIONS)
def test_the_records_that_are_edited_here_have_reports(answer, made, options):
    assert answer(made, options=options) == (0, "")


@settings(max_examples=200)
@given(st.data(), st.sampled_from(ODD), st.sampled_from(OPTIONS), st.sampled_from([None, *RECORDS, _everything(3)]))
def test_one_edit_anywhere_gives_a_report_or_one_line(answer, data, odd, options, beside):
    made, path = data.draw(st.sampled_from(EDITS[data.draw(st.integers(1, max(EDITS)))]))
    status, told = answer(edited(made, path, odd), *([] if beside is None else [beside]), options=options)
    assert (status, told) == (0, "") or (status == 2 and told.count("\n") == 1), (path, odd, told)


@pytest.mark.parametrize("options", [(), ("--brief",)])
@pytest.mark.parametrize("end", ["low", "high"])
def test_half_an_interval_counts_as_none(answer, end, options):
    rows = [one | {end: None} for one in RECORDS[0]["metrics"]]
    assert answer(RECORDS[0] | {"metrics": rows}, options=options) == (0, "")


def test_an_old_record_without_the_numbers_of_requests_has_no_costs_per_request(answer):
    assert answer(RECORDS[2] | {"requests": {}}) == (0, "")


def test_retraining_in_no_time_is_not_divided_by(answer):
    made = RECORDS[0]
    assert answer(made | {"timing": made["timing"] | {"retraining_seconds": 0}}, options=("--brief",)) == (0, "")


def test_runs_that_forget_spam_have_their_own_brief_table(answer):
    assert answer(RECORDS[0], RECORDS[1], options=("--brief",)) == (0, "")
