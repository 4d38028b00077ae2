"""``erase-bench``: one command with all programs as subcommands."""

import pytest
from tiny_tasks import furnish_clean, inside
from toy_distribution import ROOT, python

import recbole
from recbole.quick_start.family import main


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    told = f"erase-bench {recbole.__version__}, results version {recbole.RESULTS_VERSION}\n"
    assert capsys.readouterr().out == told


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("models", "LightGCN (CF)"),
        ("algorithms", "scif: One Newton step per request"),
        ("metrics", "NDCG"),
        ("scenarios", "spam: A bandwagon attack"),
        ("datasets", "ml-100k: python dataset/ml-100k/prepare.py"),
        ("presets", "erase: scif on any model, kookmin on any model"),
        ("presets", "tuned: scif on BPR"),
        ("keys", "stopping_step: 10"),
    ],
)
def test_models_algorithms_and_data_sets_are_listed(what, wanted, capsys):
    assert main(["list", what]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{what}:\n") and wanted in out


def test_messages_have_the_name_of_the_subcommand(tmp_path, capsys):
    furnish_clean(tmp_path, "CF")
    with inside(tmp_path):
        common = ["--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml"]
        assert main(["train", *common]) == 0
        assert main(["unlearn", "--model", "BRP"]) == 2
        assert main(["forget-set", "--dataset", "tiny"]) == 2
        with pytest.raises(SystemExit) as ended:
            main(["train", "--seed", "x"])
    assert ended.value.code == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in told] == [
        "erase-bench unlearn", "erase-bench forget-set", "erase-bench train"
    ]  # fmt: skip


def test_the_module_can_be_run_with_python_m(tmp_path):
    done = python(ROOT, "-m", "recbole", "--help")
    assert done.returncode == 0 and "forget-set" in done.stdout
    assert python(ROOT, "-m", "recbole", "lisst").returncode == 2
