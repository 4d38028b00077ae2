"""What requests cost and how they ended, from records of today and from older ones."""

import math

from recbole.report.costs import cpu_costs, outcomes, wall_costs


def test_results_from_before_means_were_over_those_who_worked_alone():
    timing = {"retraining_cpu_seconds": 60.0, "cpu_seconds_mean": 2.0}
    old = {"total": 12, "skipped": 8}
    assert cpu_costs({"requests": old, "timing": timing}) == {"CPU s/request": 6.0, "speed-up": 10.0}
    assert cpu_costs({"requests": old | {"worked": 4}, "timing": timing}) == {"CPU s/request": 2.0, "speed-up": 30.0}
    for requests, mean in ((old | {"worked": 0}, None), ({"total": 12, "skipped": 12}, 2.0)):
        costs = cpu_costs({"requests": requests, "timing": timing | {"cpu_seconds_mean": mean}})
        assert all(math.isnan(value) for value in costs.values())


def test_without_the_retrained_model_there_is_no_speed_up():
    record = {"requests": {"worked": 4}, "timing": {"cpu_seconds_mean": 2.0, "seconds_mean": 1.5}}
    costs = cpu_costs(record)
    assert costs["CPU s/request"] == 2.0 and math.isnan(costs["speed-up"])
    assert wall_costs(record) == {"s/request": 1.5, "speed-up": None}


def test_outcomes_are_summed_and_what_never_was_is_not_told():
    one = {"requests": {"applied": 2, "skipped": 1, "timeout": 0, "diverged": 0}}
    other = {"requests": {"applied": 1, "skipped": 0, "timeout": 0, "diverged": 3}}
    assert outcomes(iter([one, other])) == ["3 applied", "1 skipped", "3 diverged"]
    assert outcomes([]) == []
