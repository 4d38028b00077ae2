"""The contract of every scenario that comes with the package, and of one from another distribution."""

import pytest
from scenario_contract import ScenarioContract, without_contract
from toy_distribution import ROOT, install, python

from recbole.quick_start.main import make_forget_set_main
from recbole.scenario.known_scenarios import scenarios
from recbole.utils import UserError, plugins

TOY = '''
import numpy as np

from recbole.scenario.base import Scenario
from recbole.unlearning.request import requests_of
from recbole.utils.flag import Flag


class Leavers(Scenario):
    """Whole people ask to be forgotten: the first ones of the data."""

    name = "leavers"
    flags = (Flag("leavers", int, "how many people leave", 0),)

    @classmethod
    def chosen(cls, config):
        return bool(config["leavers"])

    def part_of_names(self):
        return f"leavers_{self.config['leavers']}"

    def requests(self):
        tokens = self.dataset.log.vocabulary["user"].tokens(np.arange(1, self.config["leavers"] + 1))
        return requests_of(self.dataset, list(tokens), "leavers")
'''
CONTRACT = """
import sys
sys.path[:0] = [{tests!r}, {here!r}]

from scenario_contract import ScenarioContract


class TestLeavers(ScenarioContract):
    scenario = "leavers"
    arguments = ("--leavers", "6")
"""


class TestSensitive(ScenarioContract):
    scenario = "sensitive"
    arguments = ("--sensitive_category", "odd", "--unlearning_fraction", "0.1")

    def furnish(self, data):
        (data / "sensitive_asins_odd.txt").write_text("".join(f"{item}\n" for item in range(1, 30, 2)))
        make_forget_set_main(["--dataset", "tiny", "--data_path", str(data.parent), *self.arguments, "--seed", "2"])


class TestSpam(ScenarioContract):
    scenario = "spam"
    arguments = ("--spam", "--unlearning_fraction", "0.2", "--n_target_items", "2")

    def furnish(self, data):
        make_forget_set_main(["--dataset", "tiny", "--data_path", str(data.parent), *self.arguments, "--seed", "2"])


class TestAttribute(ScenarioContract):
    scenario = "attribute"
    arguments = ("--attribute", "gender", "age")
    unlearning = ("--unlearning_algorithm", "u2u", "--protect_steps", "5")

    def furnish(self, data):
        people = "".join(f"{user}\t{'FM'[user % 3 // 2]}\t{'young' if user < 8 else ''}\n" for user in range(20))
        people = people.replace("\t\n", "\told\n")
        (data / "tiny.user").write_text(f"user_id:token\tgender:token\tage:token\n{people}")


def test_every_scenario_has_a_contract():
    assert without_contract(scenarios()) == []
    assert without_contract({"spam", "newscenario"}) == ["newscenario"]


def test_a_scenario_from_outside_is_one_file_and_its_flags(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "toy_scenario.py").write_text(TOY)
    install(site, plugins.SCENARIOS, {"leavers": "toy_scenario:Leavers"})
    helped = python(site, ROOT / "unlearn.py", "--help")
    assert "--leavers" in helped.stdout and "how many people leave" in helped.stdout
    file = tmp_path / "test_leavers.py"
    file.write_text(CONTRACT.format(tests=str(ROOT / "tests"), here=str(ROOT / "tests/scenario")))
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest", file)
    done = python(site, *words, cwd=ROOT / "tests")
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout


def test_what_is_no_scenario_of_that_name_is_told(tmp_path, monkeypatch):
    (tmp_path / "toy_scenario.py").write_text(TOY)
    install(tmp_path, plugins.SCENARIOS, {"quitters": "toy_scenario:Leavers"})
    monkeypatch.syspath_prepend(tmp_path)
    scenarios.cache_clear()
    try:
        with pytest.raises(UserError, match=r"the entry point 'quitters' .*, which is not a Scenario with that name"):
            scenarios()
    finally:
        monkeypatch.undo()
        scenarios.cache_clear()
