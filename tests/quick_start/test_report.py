"""The command that compares runs, the presets, and the message about another package of the same name."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from recbole.config.layers import packaged
from recbole.evaluator import Table
from recbole.model import get_model
from recbole.quick_start import family, report
from recbole.quick_start.presets import ANY_MODEL, preset_names, preset_values
from recbole.unlearning.registry import ERASE_ALGORITHMS, get_algorithm
from recbole.utils import UserError

ROOT = Path(__file__).parents[2]


def _record(recall, seconds):
    rows = []
    for kind, value in (("base", 0.5), ("unlearned", recall), ("retrained", 0.4)):
        for checkpoint in range(4):
            table = Table(model=kind, checkpoint=checkpoint, split="test", view="current", population="all")
            table.add("recall", value + checkpoint / 100, 10, masking="retained")
            rows += table.rows
    timing = {"seconds_mean": seconds, "speedup_over_retraining": 10 / seconds}
    return {"kind": "unlearned", "metrics": rows, "timing": timing}


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, (recall, seconds) in zip(paths, ((0.45, 0.1), (0.41, 0.2)), strict=True):
        path.write_text(json.dumps(_record(recall, seconds)))
    return [str(path) for path in paths]


def test_every_checkpoint_has_base_runs_and_retrained_once(files, tmp_path, capsys):
    assert report.main([*files, "--csv", str(tmp_path / "out.csv")]) == 0
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table["run"].fillna(table["model"])) == ["base", "a", "b", "retrained"] * 4
    assert list(table["checkpoint"]) == sorted([0, 1, 2, 3] * 4)
    last = table[table["checkpoint"] == 3].set_index(table["run"].fillna(table["model"])[-4:])
    assert last.loc["a", "Recall@10"] == pytest.approx(0.48)
    assert last.loc["b", "s/request"] == 0.2
    assert last.loc["b", "speed-up"] == 50
    assert last.loc[["base", "retrained"], "s/request"].isna().all()
    assert set(table["view"]) == {"current"}
    shown = capsys.readouterr()
    told = shown.out.splitlines()
    assert told[0] == "view current, population all, masking retained"
    assert told[1].split() == ["run", "model", "checkpoint", "Recall@10", "s/request", "speed-up"]
    assert told[3].split() == ["a", "unlearned", "0", "0.45", "0.1", "100"]
    assert "Recall@10, NDCG@10: view current, population all, masking retained." in told and shown.err == ""


def test_a_table_only_overwrites_a_table(files, tmp_path, capsys):
    path = tmp_path / "out.csv"
    path.write_text("checkpoint,model,Recall@10,NDCG@10\n")  # a table of the previous version
    for _ in range(2):
        assert report.main([files[0], "--csv", str(path)]) == 0
    first = path.read_text()
    capsys.readouterr()
    kept = Path(files[1]).read_text()
    assert report.main([files[0], "--csv", files[1]]) == 2
    told = capsys.readouterr()
    assert told.out == "" and "b.json: it exists and is not a table that this program wrote" in told.err
    assert told.err.count("\n") == 1 and Path(files[1]).read_text() == kept and path.read_text() == first


def test_left_out_list_lengths_are_reported_and_can_be_chosen(files, capsys):
    record = json.loads(Path(files[0]).read_text())
    for row in record["metrics"]:
        row.update(settings=f"of {row['model']}", algorithm="scif" if row["model"] == "unlearned" else None)
    for path in files:
        Path(path).write_text(json.dumps(record))
    assert report.main(files) == 0
    assert "4 rows are left out, because another row has the same model and values\n" in capsys.readouterr().out
    assert report.main([*files, "--k", "7"]) == 2
    assert capsys.readouterr().err == "report: --k: no file has lists of length 7; known lengths: 10\n"


def test_a_run_without_applied_requests_has_no_costs(files, capsys):
    record = _record(0.5, 1.0)
    record["timing"] = {"seconds_mean": None}
    Path(files[0]).write_text(json.dumps(record))
    assert report.main(files[:1]) == 0
    shown = capsys.readouterr().out
    assert "s/request" in shown and "None" not in shown and "nan" not in shown.lower()


def test_a_file_of_another_kind_gives_a_one_line_error(tmp_path, capsys):
    (tmp_path / "base.json").write_text(json.dumps({"kind": "base", "metrics": []}))
    assert report.main([str(tmp_path / "base.json")]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert told.err.startswith("report: ")
    assert "of a base model; give files written by unlearn.py --result_file" in told.err
    assert report.main([str(tmp_path / "none.json")]) == 2


def test_messages_have_the_name_of_the_command(tmp_path, capsys):
    assert family.main(["report", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.startswith(f"erase-bench report: {tmp_path}")
    with pytest.raises(SystemExit, match="2"):
        report.main(["a.json", "--k", "ten"])
    told = capsys.readouterr().err
    assert told.startswith("report: ") and told.count("\n") == 1


def test_a_table_that_cannot_be_written_gives_a_one_line_error(files, tmp_path, capsys):
    assert report.main([*files, "--csv", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("report: cannot write ") and told.err.count("\n") == 1


def test_presets_have_values_for_their_pairs_and_list_them():
    assert preset_values("tuned", "scif", "BPR")["damping"] < 0.01
    with pytest.raises(UserError, match="did you mean 'tuned'"):
        preset_values("tunde", "scif", "BPR")
    with pytest.raises(UserError, match="no values for scif on Pop, only for scif on BPR, scif on GRU4Rec"):
        preset_values("tuned", "scif", "Pop")


def test_the_preset_erase_applies_to_any_model():
    assert preset_values("erase", "gif", "BPR")["gif_scale_factor"] == 1000
    assert preset_values("erase", "idea", "SASRec") == preset_values("erase", "idea", "DNNTSP")
    assert preset_values("erase", "idea", "SASRec")["idea_sigma"] == 0.1
    with pytest.raises(
        UserError, match="'erase' has no values for finetune on BPR, only for scif on any model, kookmin on"
    ):
        preset_values("erase", "finetune", "BPR")
    assert {name for name in ERASE_ALGORITHMS if preset_values("erase", name, "a model")} == set(ERASE_ALGORITHMS)


def test_a_preset_without_the_pair_is_rejected_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = ("--dataset", "not_there", "--unlearning_algorithm", "reset", "--preset", "erase")
    assert family.main(["unlearn", "--model", "BPR", *asked]) == 2
    told = capsys.readouterr().err
    assert (
        told.startswith("erase-bench unlearn: --preset: 'erase' has no values for reset on BPR")
        and told.count("\n") == 1
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("preset", preset_names())
def test_presets_contain_hyper_parameters_within_their_bounds(preset):
    for algorithm, models in packaged(f"preset/{preset}.yaml").values.items():
        for model, values in models.items():
            assert model == ANY_MODEL or get_model(model)
            assert values and get_algorithm(algorithm).Hyper(
                **values
            )  # raises for an unknown key and for a value out of bounds


def test_the_scripts_say_which_package_runs_if_recbole_is_also_installed(tmp_path):
    other = tmp_path / "recbole-1.2.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n")
    code = "import sys; sys.path.append(sys.argv.pop(1)); from recbole.quick_start.main import train_main; train_main()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    first = done.stdout.splitlines()[0]
    assert str(ROOT / "recbole") in first and "not the installed RecBole 1.2.1" in first
