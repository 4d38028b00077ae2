"""The examples on the page docs/api.md run and do what the page says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole.quick_start.api import load_data
from recbole.utils import UserError

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
