"""An unlearning run with four retrained models scores each model and reads each file only once."""

import json
from collections import Counter
from contextlib import contextmanager

import pytest
from tiny_tasks import inside

from recbole.model import get_model
from recbole.quick_start.main import train_main, unlearn_main
from recbole.trainer import stored

COMMON = ("--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml", "--tensorboard", "False")
FORGETTING = ("--sensitive_category", "horror", "--unlearning_fraction", "0.01")


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory):
    """A folder with data, a base model and the retrained models of all checkpoints."""
    folder = world(tmp_path_factory.mktemp("once")).folder
    with inside(folder):
        assert train_main([*COMMON]) == 0
        for checkpoint in "0123":
            assert train_main([*COMMON, *FORGETTING, "--retrain_checkpoint_idx_to_match", checkpoint]) == 0
    return folder


@contextmanager
def counting(folder):
    """Count in a context how many rows each model scores and how often each file is read."""
    cls, asked, read = get_model("BPR"), Counter(), Counter()
    predict, load = cls.full_sort_predict, stored.load_checkpoint

    def counted(model, interaction):
        asked[model] += len(interaction)
        return predict(model, interaction)

    def noted(path):
        read[path.name] += 1
        return load(path)

    with inside(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(cls, "full_sort_predict", counted)
        patch.setattr(stored, "load_checkpoint", noted)
        yield asked, read


@pytest.fixture(scope="module")
def seen(folder):
    """How many rows each model scored, how often each file was read, and the record.

    Lists of five items are reported, and the verdict uses lists of ten.
    """
    with counting(folder) as (asked, read):
        assert unlearn_main([*COMMON, *FORGETTING, "--topk", "5", "--result_file", "r.json"]) == 0
        return sorted(asked.values()), read, json.loads((folder / "r.json").read_text(encoding="utf-8"))


def n_rows(record, **about):
    """Return checkpoint to the number of rows in the base's values."""
    rows = [row for row in record["metrics"] if all(row[name] == value for name, value in about.items())]
    return dict(sorted({row["checkpoint"]: row["n_rows"] for row in rows if row["model"] == "base"}.items()))


def test_every_model_scores_a_row_once_unless_a_request_changed_it(seen):
    scored, _, record = seen
    whole = n_rows(record, metric="recall", view="all", population="all")
    anew = n_rows(record, metric="recall", view="current", population="requesting")
    shown = n_rows(record, metric="js_divergence", population="all")
    assert set(whole.values()) == {30} and list(anew) == list(shown) == [0, 1, 2, 3] and min(anew.values()) > 0
    epochs = record["selected_epochs"]
    assert any(epochs["retrained"][str(checkpoint)] == epochs["base"] for checkpoint in range(4))
    expected = [30 + sum(anew.values()) + sum(shown.values())]
    for checkpoint in range(4):  # unlearned, retrained, and retrained at the base's epoch if that differs
        n_models = 2 + (epochs["retrained"][str(checkpoint)] != epochs["base"])
        expected += n_models * [30 + anew[checkpoint] + shown[checkpoint]]
    assert scored == sorted(expected)


def test_every_file_is_read_once(seen):
    _, read, _ = seen
    assert len(read) == 13 and set(read.values()) == {1}


def test_checkpoints_with_equal_requests_are_evaluated_once_unless_noise_differs(folder):
    lines = (folder / "dataset" / "tiny" / "tiny.inter").read_text(encoding="utf-8").splitlines()
    (folder / "one.inter").write_text(f"user_id:token\titem_id:token\n{chr(9).join(lines[1].split(chr(9))[:2])}\n")
    rows = {}
    for algorithm, noise in (("kookmin", ()), ("idea", ("--idea_epsilon", "1"))):
        with counting(folder) as (asked, _):
            given = ("--forget_set", "one.inter", "--unlearning_algorithm", algorithm, *noise)
            assert unlearn_main([*COMMON, *given, "--result_file", "1.json"]) == 0
        record = json.loads((folder / "1.json").read_text(encoding="utf-8"))
        values = {
            (row["checkpoint"], row["metric"], row["k"], row["view"], row["population"]): row["value"]
            for row in record["metrics"]
            if row["model"] == "unlearned" and row["minus"] is None
        }
        assert {key[0] for key in values} == {0, 1, 2, 3}
        rows[algorithm] = len(asked), values
    n_models, values = rows["kookmin"]
    assert n_models == 2 and all(value == values[3, *key[1:]] for key, value in values.items())
    assert rows["idea"][0] == 5
