"""Costs of requests and their outcomes, from current and older records."""

import math

from recbole.report.costs import changed, costs, cpu_costs, failed, outcomes


def test_results_from_before_means_were_over_those_who_worked_alone():
    timing = {"retraining_cpu_seconds": 60.0, "cpu_seconds_mean": 2.0}
    old = {"total": 12, "skipped": 8}
    assert cpu_costs({"requests": old, "timing": timing}) == {"CPU s/request": 6.0, "speed-up": 10.0}
    assert cpu_costs({"requests": old | {"worked": 4}, "timing": timing}) == {"CPU s/request": 2.0, "speed-up": 30.0}
    for requests, mean in ((old | {"worked": 0}, None), ({"total": 12, "skipped": 12}, 2.0)):
        costs = cpu_costs({"requests": requests, "timing": timing | {"cpu_seconds_mean": mean}})
        assert all(math.isnan(value) for value in costs.values())


def test_without_the_retrained_model_there_is_no_speed_up():
    record = {"requests": {"worked": 4}, "timing": {"cpu_seconds_mean": 2.0, "seconds_mean": 1.5, "seconds_total": 9.0}}
    found = cpu_costs(record)
    assert found["CPU s/request"] == 2.0 and math.isnan(found["speed-up"])
    known = {heading: value for heading, value in costs(record).items() if not math.isnan(value)}
    assert known == {"s/request": 1.5, "CPU s/request": 2.0}


def test_one_request_and_all_of_them_are_held_against_one_retraining():
    timing = {"cpu_seconds_mean": 2.0, "seconds_mean": 1.5, "seconds_total": 9.0}
    timing |= {"retraining_seconds": 45.0, "retraining_cpu_seconds": 60.0}
    requests = {"total": 6, "applied": 5, "skipped": 1, "worked": 5}
    assert costs({"requests": requests, "timing": timing}) == {
        **{"s/request": 1.5, "CPU s/request": 2.0, "speed-up": 30.0, "CPU speed-up": 30.0},
        **{"amortised": 5.0, "CPU amortised": 6.0},
    }
    found = costs({"requests": requests | {"applied": 0, "diverged": 5}, "timing": timing})
    assert {heading for heading, value in found.items() if math.isnan(value)} == {
        *("speed-up", "CPU speed-up", "amortised", "CPU amortised")
    }


def test_what_was_never_timed_costs_what_nobody_knows():
    assert all(math.isnan(value) for value in costs({"requests": {"total": 3, "done": 3}, "timing": {}}).values())


def test_changes_and_failures_are_counted_where_they_are_told():
    told = {"applied": 2, "reinitialised": 3, "skipped": 1, "timeout": 4, "diverged": 5}
    assert changed({"requests": told}) == 5 and failed({"requests": told}) == 9
    assert changed({"requests": {"total": 3}}) is None and failed({"requests": {"total": 3}}) == 0
    assert outcomes([{"requests": told}])[1] == "3 reinitialised"


def test_outcomes_are_summed_and_what_never_was_is_not_told():
    one = {"requests": {"applied": 2, "skipped": 1, "timeout": 0, "diverged": 0}}
    other = {"requests": {"applied": 1, "skipped": 0, "timeout": 0, "diverged": 3}}
    assert outcomes(iter([one, other])) == ["3 applied", "1 skipped", "3 diverged"]
    assert outcomes([]) == []
