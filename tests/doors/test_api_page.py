"""The examples on the page docs/api.md run and do what the page says."""

import copy
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recbole.model.general_recommender.bpr import BPR
from recbole.quick_start.api import load_data
from recbole.utils import UserError
from recbole.utils.undisturbed import undisturbed

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_ten_line_example_runs(home, quick):
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[1]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 11
    small = {"ml-100k": "tiny", "epochs=20": "**quick", '["13", "276"]': '["u3", "u4"]', '["288", "300"]': "SOME"}
    for old, new in small.items():
        assert old in code
        code = code.replace(old, new)
    names = {"SOME": [f"i{item}" for item in range(15)], "quick": quick | {"topk": [10], "valid_metric": "MRR@10"}}
    exec(code, names)
    table, rows = names["table"], names["rows"]
    assert set(table["model"]) == {"base", "scif", "retrained"} and 4 < len(rows) < 20
    assert {"ndcg", "forgotten_log_odds"} <= set(table["metric"])
    assert [outcome.status for outcome in names["bench"].outcome] == ["applied"] * 2
    assert not torch.equal(names["base"].user_embedding.weight, names["unlearned"].user_embedding.weight)


def test_the_examples_for_recbole_users_run(home, quick, capsys):
    code = re.search(r"```python\n(.*?)```", PAGE.with_name("recbole.md").read_text(encoding="utf-8"), re.S)[1]
    for old, new in {"ml-100k": "tiny", '{"epochs": 20}': "quick", '["13"]': '["u3"]'}.items():
        assert old in code
        code = code.replace(old, new)
    names = {"quick": quick}
    exec(code, names)
    assert names["items"].shape == (1, 10) and "recall@5" in capsys.readouterr().out


def test_unlearning_returns_a_copy_and_errors_are_exceptions(home, quick):
    bench = load_data("BPR", "tiny", **quick)
    base, rows = bench.train(), bench.rows(users=["u3"])
    before = base.item_embedding.weight.clone()
    first, second = (bench.forget(base, rows, "finetune") for _ in range(2))
    assert torch.equal(base.item_embedding.weight, before)
    assert torch.equal(first.item_embedding.weight, second.item_embedding.weight), "a second call gives the same result"
    assert not bench.data.forgotten.any() and np.array_equal(
        bench.data.log.user[rows], [bench.data.log.user[rows[0]]] * len(rows)
    )
    for call, told in (
        (lambda: bench.rows(users=["nobody"]), "no user 'nobody'"),
        (lambda: bench.forget(base, rows, "scif", scif_dampping=1), "no hyper-parameter 'scif_dampping'"),
    ):
        with pytest.raises(UserError, match=told):
            call()


@pytest.fixture(scope="module")
def bench(house, quick):
    return load_data("BPR", "tiny", data_path=str(house / "dataset"), **quick)


@pytest.fixture(scope="module")
def base(bench):
    return bench.train()


def refused(call):
    """Return the one line of the UserError that a call raises."""
    with pytest.raises(UserError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def same(one, other):
    return all(torch.equal(one.state_dict()[name], value) for name, value in other.state_dict().items())


@pytest.mark.parametrize("shape", [list, tuple, pd.Series, np.uint16, "mask", "list of booleans", "series of booleans"])
def test_rows_may_be_any_sequence_of_indices_or_a_mask(bench, base, shape):
    rows = bench.rows(users=["u3", "u4"], items=[f"i{item}" for item in range(15)])
    mask = np.isin(np.arange(len(bench.data.log)), rows)
    masks = {"mask": mask, "list of booleans": mask.tolist(), "series of booleans": pd.Series(mask, dtype="boolean")}
    given = masks[shape] if shape in masks else shape(rows)
    assert same(bench.forget(base, given, "finetune"), bench.forget(base, rows, "finetune"))
    assert same(bench.train(without=given), bench.train(without=rows))
    assert bench.evaluate(given, base=base).equals(bench.evaluate(rows, base=base))


ODD_ROWS = {
    **{"a negative index": [5, -1], "an index beyond the end": (3, 10**6), "an index too large for int64": [2**70]},
    **{"a short mask": [True, False], "booleans and integers": [True, 5], "floats": np.array([3.0]), "text": ["3"]},
    **{"two dimensions": np.array([[3, 4]]), "lists of different lengths": [[3], [3, 4]], "a set": {3}, "a number": 3},
    **{"a missing value": [None], "an object": object()},
}


@pytest.mark.parametrize("odd", ODD_ROWS.values(), ids=ODD_ROWS)
def test_other_rows_are_refused_everywhere_by_the_name_of_the_argument(bench, base, odd):
    told = [
        refused(lambda: bench.forget(base, odd)),
        refused(lambda: bench.evaluate(odd, base=base)),
        refused(lambda: bench.train(without=odd)).replace("without", "rows", 1),
    ]
    assert len(set(told)) == 1 and told[0].startswith("rows should be row indices from 0 to ")


def test_no_rows_are_an_empty_list_but_not_none(bench, base):
    assert same(bench.forget(base, []), base) and bench.outcome == []
    assert refused(lambda: bench.forget(base, None)).startswith("rows should be row indices")


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        *(("u3", "users should be a list of tokens"), (b"u3", "not b'u3'"), (3, "not 3")),
        *(([3], "as text"), ([b"u3"], "not b'u3'"), (["u3", None], "not None"), (["\udc80"], "as text")),
        *(({"nobody"}, "no user 'nobody' in tiny"), ({"nobody": 1}, "no user 'nobody'"), (["[PAD]"], "no user")),
    ],
)
def test_tokens_are_several_texts_that_the_data_have(bench, tokens, told):
    assert told in refused(lambda: bench.rows(users=tokens))


def test_tokens_may_be_a_set_or_an_array(bench):
    rows = bench.rows(users=["u3"])
    assert all(np.array_equal(rows, bench.rows(users=kind)) for kind in ({"u3"}, np.array(["u3"]), pd.Series(["u3"])))


def other_data(house, quick):
    """Return a model of the same class and shapes that was trained on data with other split labels."""
    return load_data("BPR", "tiny", data_path=str(house / "dataset"), **quick | {"seed": 4}).train()


def untagged(house, quick):
    """Return a model that something else than the Python interface has built, on data with fewer users."""
    fewer = {"user_inter_num_interval": "[10,inf)", "data_path": str(house / "dataset")}
    other = load_data("BPR", "tiny", **quick | fewer)
    return BPR(other.run.config, other.data)


def other_class(house, quick):
    """Return a model of another class with the same parameters."""
    return load_data("LightGCN", "tiny", data_path=str(house / "dataset"), **quick).train()


def redefined(house, quick):
    """Return a model of another class of the same name."""
    again = type("BPR", (BPR,), {})
    return load_data(again, "tiny", data_path=str(house / "dataset"), **quick).train()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        *((lambda *_: None, "a trained BPR"), (lambda *_: BPR, "a trained BPR"), (lambda *_: 3, "not int")),
        *((other_class, "not LightGCN"), (redefined, "defined again")),
        *((other_data, "was trained on other data"), (untagged, "was trained on other data")),
    ],
)
def test_models_of_another_class_or_of_other_data_are_refused(bench, base, house, quick, make, told):
    model, rows = make(house, quick), bench.rows(users=["u3"])
    found = [
        refused(lambda: bench.forget(model, rows)).removeprefix("model"),
        refused(lambda: bench.evaluate(rows, base=base, mine=model)).removeprefix("mine"),
        refused(lambda: bench.evaluate(rows, base=base, retrained=model)).removeprefix("retrained"),
    ]
    assert len(set(found)) == 1 and told in found[0]


def test_a_model_with_other_hyper_parameters_is_evaluated_but_not_unlearned(bench, house, quick):
    larger = load_data("BPR", "tiny", data_path=str(house / "dataset"), **quick | {"embedding_size": 6}).train()
    assert "with embedding_size 6, but this bench has 4" in refused(lambda: bench.forget(larger, [3]))
    assert len(bench.evaluate(larger=larger))


def test_copies_and_unlearned_models_belong_to_the_data_too(bench, base):
    rows = bench.rows(users=["u3"])
    first = bench.forget(copy.deepcopy(base), rows, "finetune")
    assert same(first, bench.forget(base, rows, "finetune"))
    assert len(bench.evaluate(rows, copy=copy.deepcopy(first), retrained=bench.train(without=rows)))
    assert bench.forget(first, bench.rows(users=["u4"]), "finetune") is not first


@pytest.mark.parametrize(
    ("given", "told"),
    [
        *(({"epochz": 3}, "unknown setting 'epochz', did you mean 'epochs'"), ({"device": "banana"}, "cpu or cuda:N")),
        *(({"lerning_rate": 3}, "did you mean 'learning_rate'"), ({"eval_args": {"splitt": 1}}, "in eval_args, did")),
        *(({"ensemble": "sisa"}, "interface does not use ensemble"), ({"num_shards": 3}, "does not use num_shards")),
        *(({"eval_only": True}, "does not use eval_only"), ({"hf_model_path": "hf://a/b/c.pth"}, "hf_model_path")),
        *(({"unlearning_algorithm": "gif"}, "run_recbole.py"), ({"epochs": 10**400}, "epochs (config_dict) should be")),
        *(({"files": 5}, "a path or a list of paths"), ({"files": [5]}, "not [5]"), ({"files": b"x"}, "not b'x'")),
        *(({"model": 5}, "model should be"), ({"model": int}, "model should be"), ({"dataset": "a\0b"}, "a NUL")),
        ({"dataset": "n" * 300}, "name too long"),
    ],
)
def test_settings_without_a_meaning_are_refused_by_name(home, quick, given, told):
    assert told in refused(lambda: load_data(**{"model": "BPR", "dataset": "tiny"} | quick | given))


def test_a_setting_of_a_program_may_have_its_default_or_ask_for_nothing(home, quick):
    nothing = {"eval_only": False, "if_running": "wait", "ensemble": None, "checkpoint_dir": "saved", "device": "cpu"}
    assert load_data("BPR", "tiny", **quick | nothing).run.config["device"] == torch.device("cpu")


def test_settings_in_files_that_do_nothing_are_warnings(home, quick, tmp_path, caplog):
    (tmp_path / "mine.yaml").write_text("epochz: 3\nensemble: sisa\n")
    load_data("BPR", "tiny", files=tmp_path / "mine.yaml", **quick)
    assert "line 1: unknown key 'epochz' does nothing, did you mean 'epochs'?" in caplog.text
    assert "line 2: the Python interface does not use ensemble" in caplog.text


def test_settings_that_a_model_of_ones_own_does_not_read_are_warnings(home, quick, caplog):
    mine = type("Mine", (BPR,), {})
    load_data(mine, "tiny", **quick | {"lerning_rate": 3}).train()
    assert "these settings have no effect in this run: lerning_rate (config_dict)" in caplog.text


@pytest.mark.parametrize("algorithm", ["u2u", "d2d", "pau", "adv", "mmd_training"])
def test_algorithms_for_attributes_forget_no_rows(bench, base, algorithm):
    told = refused(lambda: bench.forget(base, bench.rows(users=["u3"]), algorithm))
    assert told.startswith(f"{algorithm} unlearns a user attribute") and "use scif, " in told


def test_what_is_no_name_of_an_algorithm_is_refused(bench, base):
    assert "did you mean 'scif'" in refused(lambda: bench.forget(base, [3], ["scif"]))


def test_memory_that_cannot_be_allocated_is_an_error_of_the_user(home, quick):
    class Huge(BPR):
        def __init__(self, config, dataset):
            super().__init__(config, dataset)
            torch.empty(2**50)

    bench = load_data(Huge, "tiny", **quick)
    assert refused(bench.train).startswith("out of memory: ")


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_calls_work_where_gradients_are_off(bench, base, around):
    rows = bench.rows(users=["u3"])
    with around():
        model, unlearned = bench.train(), bench.forget(base, rows, "scif")
        assert not torch.is_grad_enabled()
    assert same(model, base) and same(unlearned, bench.forget(base, rows, "scif"))


def test_the_default_dtype_of_a_script_changes_no_weights(bench, base):
    rows = bench.rows(users=["u3"])
    torch.set_default_dtype(torch.float64)
    try:
        model, unlearned = bench.train(), bench.forget(base, rows, "finetune")
        assert torch.get_default_dtype() == torch.float64
        with pytest.raises(KeyError), undisturbed():
            raise KeyError
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert model.user_embedding.weight.dtype == torch.float32
    assert same(model, base) and same(unlearned, bench.forget(base, rows, "finetune"))
