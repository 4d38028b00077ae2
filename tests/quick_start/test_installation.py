"""Installed commands: checks at start-up, resources, and systems without Unix-only modules."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_tasks import inside

from recbole.quick_start.family import main
from recbole.utils import packaged

ROOT = Path(__file__).resolve().parents[2]


def python(folder, *words):
    command = [sys.executable, "-S", *words]  # -S: no package of this environment is needed
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def installed(tmp_path):
    """A folder with the commands and the part of the package that they check before anything runs."""
    shutil.copytree(ROOT / "erase_bench", tmp_path / "erase_bench")
    package = tmp_path / "recbole"
    for kind in ("quick_start", "properties"):
        (package / kind).mkdir(parents=True)
    shutil.copy(ROOT / "recbole/__init__.py", package)
    (package / "properties/deciding.yaml").touch()
    (package / "quick_start/family.py").write_text("def main():\n    print('ran')\n    return 0\n")
    return tmp_path


COMMAND = "import sys, erase_bench; sys.exit(erase_bench.bench())"


def test_a_command_runs_if_the_package_is_ours(installed):
    done = python(installed, "-c", COMMAND)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


@pytest.mark.parametrize("later", ["theirs", "ours"])
def test_a_command_stops_if_both_packages_share_a_folder(installed, later):
    package = installed / "recbole"
    (package / "quick_start/quick_start.py").touch()
    if later == "theirs":  # RecBole's installation has overwritten files of the same name
        (package / "__init__.py").write_text("raise SystemExit('RecBole was imported')\n")
    done = python(installed, "-c", COMMAND)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("erase-bench: RecBole is also installed in ") and done.stderr.count("\n") == 1


def test_a_command_stops_if_our_package_was_removed(installed):
    (
        installed / "recbole/properties/deciding.yaml"
    ).unlink()  # our package was uninstalled, and RecBole's files are left
    assert python(installed, "-c", COMMAND).returncode == 2
    shutil.rmtree(installed / "recbole")
    done = python(installed, "-c", COMMAND)
    assert (done.returncode, done.stderr) == (
        2,
        "erase-bench: the package recbole is missing: install erase-bench again\n",
    )


def test_importing_our_package_among_recboles_files_gives_a_one_line_error(installed):
    (installed / "recbole/quick_start/quick_start.py").touch()
    done = python(installed, "-c", "import recbole")
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("ImportError: RecBole's files are in ")


def test_the_project_has_no_file_that_marks_recbole():
    assert not (ROOT / "recbole/quick_start/quick_start.py").exists()


def test_every_module_imports_without_unix_only_modules(tmp_path):
    code = (
        "import sys, pkgutil, importlib\n"
        "for name in ('resource', 'fcntl', 'pwd', 'grp', 'termios', 'prctl'):\n"
        "    sys.modules[name] = None\n"
        "import recbole\n"
        "names = [m.name for m in pkgutil.walk_packages(recbole.__path__, 'recbole.')]\n"
        "for name in names:\n"
        "    if not name.endswith('__main__'):\n"
        "        importlib.import_module(name)\n"
        "from recbole.utils.memory import peak_rss_mib\n"
        "print(len(names), peak_rss_mib())\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, peak = done.stdout.split()
    assert int(count) > 250 and peak == "None"


@pytest.fixture
def away(tmp_path, monkeypatch):
    """An empty working folder, and an installation whose configurations and preparations are elsewhere."""
    lies = tmp_path / "site/erase_bench"
    shutil.copytree(ROOT / "configs", lies / "configs")
    for name in ("prepare.py", "published.yaml", "README.md"):
        (lies / "dataset/ml-100k").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "dataset/ml-100k" / name, lies / "dataset/ml-100k")
    monkeypatch.setattr(packaged, "_PACKAGE", tmp_path / "site/recbole")
    folder = tmp_path / "empty"
    folder.mkdir()
    with inside(folder):
        yield folder


def test_a_missing_configuration_is_read_from_the_installation(away):
    found = packaged.config_file("configs/tuned/config_bpr.yaml")
    assert found == away.parent / "site/erase_bench/configs/tuned/config_bpr.yaml"
    assert packaged.config_file("configs/config_nothing.yaml") == Path("configs/config_nothing.yaml")
    (away / "configs").mkdir()
    (away / "configs/config_bpr.yaml").write_text("epochs: 1\n")
    assert packaged.config_file("configs/config_bpr.yaml") == Path("configs/config_bpr.yaml")
    assert packaged.config_file("other/config_bpr.yaml") == Path("other/config_bpr.yaml")


def test_a_preparation_script_is_copied_and_run(away, capsys):
    before = sys.argv[:], sys.path[:]
    assert main(["prepare", "ml-100k", "--from", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err and (sys.argv, sys.path) == before
    placed = sorted(path.name for path in (away / "dataset/ml-100k").iterdir())
    assert placed == ["README.md", "prepare.py", "published.yaml"]
    (away / "dataset/ml-100k/prepare.py").write_text("import sys\nprint('mine', *sys.argv[1:])\n")
    assert main(["prepare", "ml-100k", "--subset", "1"]) == 0
    assert capsys.readouterr().out == "mine --subset 1\n"


def test_an_unknown_data_set_is_rejected(away, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["prepare", "ml-1k"])
    assert ended.value.code == 2 and not (away / "dataset").exists() and "ml-1k" in capsys.readouterr().err


def test_every_algorithm_model_and_data_set_can_be_cited():
    """Only those without a source are exempt: counts, random baselines, and methods that follow from the model."""
    from recbole.config.ensembles import PRESETS
    from recbole.generators.commands import prepared_datasets
    from recbole.model import names
    from recbole.unlearning.registry import algorithm_names

    keywords = re.findall(r"keywords = \{([^}]*)\}", (ROOT / "docs/references.bib").read_text(encoding="utf-8"))
    cited = {one.strip() for line in keywords for one in line.split(",")}
    wanted = {f"algorithm {name}" for name in algorithm_names()} - {
        f"algorithm {name}" for name in ("exact", "filter", "reset")
    }
    wanted |= {f"model {name}" for name in names()} - {"model Pop", "model Random", "model Pop_SBR"}
    wanted |= {f"data set {name}" for name in prepared_datasets()} | {f"ensemble {name}" for name in PRESETS}
    assert wanted - cited == set()
