"""RecBole's quick-start functions: signatures, returned dictionaries, and no change to the state of the process."""

import json
import logging
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from recbole.quick_start import load_data_and_model, objective_function, run, run_recbole, unlearn_recbole
from recbole.trainer import HyperTuning
from recbole.utils import NotAvailable, UserError
from recbole.utils.case_study import full_sort_scores, full_sort_topk

KEYS = {"best_valid_score", "valid_score_bigger", "best_valid_result", "test_result"}


@pytest.fixture(scope="module")
def trained(house, quick):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(house)
        return run_recbole(model="BPR", dataset="tiny", config_dict=quick)


def test_the_returned_dictionary_has_recboles_keys(trained, home):
    assert set(trained) == {*KEYS, "model_file"} and trained["valid_score_bigger"] is True
    assert trained["best_valid_score"] == pytest.approx(trained["best_valid_result"]["mrr@5"], abs=1e-4)
    assert set(trained["test_result"]) == {"recall@5", "mrr@5", "ndcg@5", "hit@5", "precision@5"}
    table = trained.to_frame()
    assert list(table.columns) == ["valid", "test"] and table.loc["hit@5", "test"] == trained["test_result"]["hit@5"]
    assert (home / trained["model_file"]).is_file()


def test_a_saved_model_is_loaded_with_its_data(trained, home):
    config, model, dataset, train_data, valid_data, test_data = load_data_and_model(model_file=trained["model_file"])
    assert (config["model"], type(model).__name__, dataset.user_num) == ("BPR", "BPR", 21)
    assert len(train_data.dataset.inter_feat) + len(valid_data.dataset.inter_feat) + len(
        test_data.dataset.inter_feat
    ) == len(dataset)
    users = dataset.token2id("user_id", ["u3", "u7"])
    scores, items = full_sort_topk(users, model, test_data, k=4, device=config["device"])
    every = full_sort_scores(users, model, test_data, device=config["device"])
    assert scores.shape == items.shape == (2, 4) and every.shape == (2, dataset.item_num)
    assert torch.equal(scores, every.gather(1, items)) and every[0, 0] == -torch.inf
    for row, user in enumerate(users):
        seen = dataset.inter_feat.query("user_id == @user")["item_id"].tolist()
        asked = set(seen) - set(
            test_data.dataset.inter_feat["item_id"][test_data.dataset.inter_feat["user_id"] == user].tolist()
        )
        assert set(np.flatnonzero(every[row].numpy() == -np.inf)) == asked | {0}
        assert not asked & set(items[row].tolist())
    assert dataset.id2token("item_id", items.cpu()).shape == (2, 4)


def test_two_runs_in_one_process_equal_two_processes(trained, home, quick):
    random.seed(), np.random.seed(), torch.manual_seed(99)
    again = run("BPR", "tiny", config_dict=quick | {"learner": "adam"}, saved=False)
    assert {key: again[key] for key in KEYS} == {key: trained[key] for key in KEYS}
    script = "import json, sys; from recbole.quick_start import run_recbole; sys.stdout = sys.stderr\n"
    script += (
        f"r = run_recbole('BPR', 'tiny', config_dict=json.loads({json.dumps(json.dumps(quick))!s}), saved=False)\n"
    )
    script += "print(json.dumps(r), file=sys.__stdout__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=home)
    assert done.returncode == 0, done.stderr
    other = json.loads(done.stdout)
    assert {key: other[key] for key in KEYS} == {key: trained[key] for key in KEYS}


def test_a_run_does_not_change_the_state_of_the_process(home, quick):
    mine, root, package = logging.NullHandler(), logging.getLogger(), logging.getLogger("recbole")
    package.addHandler(mine)
    before = root.handlers[:], root.level, package.handlers[:], package.level, package.propagate
    flags = torch.get_num_threads(), torch.get_deterministic_debug_mode(), torch.backends.cudnn.deterministic
    try:
        run_recbole("Pop", "tiny", config_dict=quick, saved=False)
        with pytest.raises(UserError, match="BPRR"):
            run_recbole("BPRR", "tiny", config_dict=quick)
        assert (root.handlers[:], root.level, package.handlers[:], package.level, package.propagate) == before
    finally:
        package.removeHandler(mine)
    now = torch.get_num_threads(), torch.get_deterministic_debug_mode(), torch.backends.cudnn.deterministic
    assert now == flags


def test_errors_are_exceptions(home, quick):
    with pytest.raises(UserError, match="no model 'FM'"):
        run_recbole("FM", "tiny", config_dict=quick)
    with pytest.raises(UserError, match="learning_rate"):
        run_recbole("BPR", "tiny", config_dict=quick | {"learning_rate": "fast"})
    with pytest.raises(NotImplementedError, match="nproc"):
        run("BPR", "tiny", config_dict=quick, nproc=2)
    with pytest.raises(NotAvailable, match="space"):
        HyperTuning(objective_function, space={}, params_dict={"choice": {"embedding_size": [4]}})


@pytest.mark.parametrize(("algo", "trials"), [("exhaustive", 4), ("random", 3), ("bayes", 3)])
def test_tuning_returns_the_best_trial(algo, trials, tmp_path):
    def score(config_dict, config_files):
        value = -abs(config_dict["a"] - 3) + config_dict["b"]
        return {"model": "X", "best_valid_score": value, "valid_score_bigger": True,
                "best_valid_result": {"mrr@5": value}, "test_result": {"mrr@5": value}}  # fmt: skip

    (tmp_path / "space").write_text("a choice [1,3]\nb choice [0,2]\n")
    hp = HyperTuning(score, params_file=tmp_path / "space", algo=algo, max_evals=3, early_stop=10)
    hp.run()
    assert len(hp._trials) == trials and hp.best_score == max(-loss for loss, _ in hp._trials)
    assert algo != "exhaustive" or hp.best_params == {"a": 3, "b": 2}
    hp.export_result(tmp_path / "out")
    assert (tmp_path / "out").read_text().count("Valid result:\n") == len(hp.params2result)


def test_the_estimators_sample_near_good_trials():
    def score(config_dict, config_files):
        value = abs(np.log10(config_dict["rate"]) + 3)
        return {"model": "X", "best_valid_score": value, "valid_score_bigger": False,
                "best_valid_result": None, "test_result": {}}  # fmt: skip

    found = {}
    for algo in ("random", "bayes"):
        hp = HyperTuning(score, params_dict={"loguniform": {"rate": "-12,0"}}, algo=algo, max_evals=50, early_stop=50)
        hp.run()
        found[algo] = float(np.median([loss for loss, _ in hp._trials[20:]]))
    assert found["bayes"] < found["random"] / 1.5, found


def test_tuning_calls_the_objective_function(home, quick):
    hp = HyperTuning(objective_function, params_dict={"choice": {"embedding_size": [2, 4]}}, fixed_config_file_list=[])
    hp.objective_function = lambda params, files: objective_function(
        quick | {"model": "BPR", "dataset": "tiny", "epochs": 1} | params, files, saved=False
    )
    hp.run()
    assert len(hp.params2result) == 2 and hp.best_params["embedding_size"] in (2, 4)
    assert next(iter(hp.params2result.values()))["model"] == "BPR"


def test_the_unlearning_function_has_the_same_style(home, quick):
    rows = [
        "user_id:token\titem_id:token",
        *(line for line in _pairs(home) if line.startswith(("u1\t", "u2\t", "u5\t", "u8\t"))),
    ]
    (home / "ask.inter").write_text("\n".join(rows) + "\n")
    settings = quick | {"forget_set": str(home / "ask.inter"), "unlearning_algorithm": "finetune"}
    record = unlearn_recbole("BPR", "tiny", config_dict=settings, saved=False)
    assert record["requests"]["total"] == 4 and isinstance(record["metrics"], pd.DataFrame)
    assert {"base", "unlearned"} <= set(record["metrics"]["model"])
    assert not list((home / "saved").glob("model_BPR*")), "no state remains"


def _pairs(home):
    lines = (home / "dataset/tiny/tiny.inter").read_text().splitlines()[1:]
    return ["\t".join(line.split("\t")[:2]) for line in lines if line.split("\t")[1] < "i2"]
