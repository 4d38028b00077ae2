"""Contract of scenarios: a scenario is tested by a subclass of `ScenarioContract` that sets ``scenario``."""

import json
import logging
from abc import ABC
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from contract_cover import uncovered

from recbole.quick_start.main import train_main, unlearn_main
from recbole.scenario.known_scenarios import scenarios


def without_contract(names):
    """Return those of the scenarios that no contract covers."""
    return uncovered(ScenarioContract, "scenario", names)


class ScenarioContract(ABC):
    """Trains base, retrained and unlearned models on small data, with the scenario's ``arguments``.

    ``unlearning`` names an algorithm for its requests. A scenario that removes no rows is compared with the base.
    ``furnish(data)`` writes further files that a run needs into the data folder.
    """

    scenario: ClassVar[str]
    arguments: ClassVar[tuple[str, ...]]
    unlearning: ClassVar[tuple[str, ...]] = ("--unlearning_algorithm", "kookmin")

    def furnish(self, data):  # noqa: B027 - a scenario may read nothing
        """Write nothing."""

    @pytest.fixture
    def place(self, tmp_path, write_inter, monkeypatch):
        draw = np.random.default_rng(3)
        rows = [(user, item, at) for user in range(20) for at, item in enumerate(draw.choice(30, 12, replace=False))]
        data = write_inter(tmp_path / "dataset", rows, dataset="tiny").parent
        (tmp_path / "s.yaml").write_text(
            "epochs: 2\nuse_gpu: False\ntensorboard: False\nload_col: {inter: [user_id, item_id, timestamp]}\n"
        )
        self.furnish(data)
        logger = logging.getLogger("recbole")
        before = logger.handlers[:], logger.level, logger.propagate
        monkeypatch.chdir(tmp_path)
        yield tmp_path
        logger.handlers[:], logger.level, logger.propagate = before

    def run(self, main, *more):
        common = ("--model", "BPR", "--dataset", "tiny", "--config_files", "s.yaml")
        return main([*common, *self.arguments, *more, "--result_file", "result.json"])

    def test_all_models_are_saved_compared_and_named_after_the_scenario(self, place):
        scenario = scenarios()[self.scenario]
        assert scenario.name == self.scenario
        assert self.run(train_main) == 0
        base, retraining = set(Path("saved").rglob("*.pth")), ("--retrain_checkpoint_idx_to_match", "3")
        assert self.run(train_main, *retraining) == (0 if scenario.removes else 2)
        assert self.run(unlearn_main, *self.unlearning) in (0, 3)
        record = json.loads(Path("result.json").read_text())
        n = record["requests"]["total"]
        assert n >= 1 and record["requests"]["done"] == n
        expected = {"base", "unlearned", "retrained"} if scenario.removes else {"base", "unlearned"}
        assert expected <= {row["model"] for row in record["metrics"]}
        assert any(row["metric"] == "js_divergence" for row in record["metrics"])
        unlearned = {path for path in Path("saved").rglob("*_unlearn_epoch_*.pth")}
        assert len(unlearned) == 4 and not unlearned & base
        masks = [torch.load(path, weights_only=True)["meta"]["mask"]["requests_done"] for path in unlearned]
        further = len({path.name for path in Path("saved").rglob("*.pth")}) - len(base) - 4
        assert max(masks) == n and further == (3 if scenario.removes else 0)

    def test_the_same_command_gives_identical_files(self, place):
        found = []
        for _ in range(2):
            assert self.run(train_main) == 0
            assert self.run(unlearn_main, *self.unlearning) in (0, 3)
            paths = sorted(Path("saved").rglob("*.pth"))
            found.append({path.name: torch.load(path, weights_only=True)["state_dict"] for path in paths})
        assert found[0].keys() == found[1].keys()
        for name, state in found[0].items():
            assert all(torch.equal(tensor, found[1][name][key]) for key, tensor in state.items())
