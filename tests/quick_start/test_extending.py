"""The example files of docs/extending.md satisfy their contracts, inside the package and in another distribution."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from toy_distribution import ROOT

PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
ROOMS = ("", "model", "unlearning", "evaluator", "scenario")
METRICS = "recbole/evaluator/metrics.py"
pytestmark = pytest.mark.slow


def files():
    """Yield (path inside, path outside or None, content) of the files on the page."""
    for _, text in BLOCKS:
        head, _, rest = text.partition("\n")
        named = re.fullmatch(r"# (\S+?)(?:, or (\S+) of your distribution)?", head)
        if named and "/" in named[1]:
            yield named[1], named[2], rest


def run(words, folder, path):
    """Run Python with some folders on the path, check that it succeeds, and return its output."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *map(str, words)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def contracts(folder, tests, package):
    """Run the contract tests on the page, and check that they were collected."""
    path = [folder, package, *(package / "tests" / room for room in ROOMS)]
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest", "--rootdir", folder, *tests]
    said = run(words, folder, path)
    assert int(re.search(r"(\d+) passed", said)[1]) > 50, said


def write(folder, path, text):
    path = folder / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def block(start):
    """Return the code block of the page that begins with a text."""
    return next(text for _, text in BLOCKS if text.startswith(start))


def test_the_page_has_its_files():
    assert len([inside for inside, _, _ in files() if inside.startswith("recbole/")]) == 6
    assert len([inside for inside, _, _ in files() if inside.startswith("tests/")]) == 4


def test_the_files_work_inside_the_package(tmp_path):
    for part in ("recbole", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for path, _, text in files():
        if path == METRICS:  # a function that is added to an existing file
            function = text[text.index("@per_row") :]
            there = (tmp_path / METRICS).read_text(encoding="utf-8")
            write(tmp_path, path, there.replace("\nMETRICS: ", f"\n{function}\n\nMETRICS: ", 1))
        else:
            write(tmp_path, path, text)
    tests = [path for path, _, _ in files() if path.startswith("tests/")]
    contracts(tmp_path, [tmp_path / path for path in tests], tmp_path)


def test_the_files_work_in_another_distribution(tmp_path):
    for _, path, text in files():
        if path:
            write(tmp_path, path, text)
    info = tmp_path / "mine-1.0.dist-info"
    write(info, "METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    points = re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", block("[project.entry-points")).replace('"', "")
    write(info, "entry_points.txt", points)
    contracts(tmp_path, sorted(tmp_path.glob("test_*.py")), ROOT)


def test_an_own_data_set(tmp_path):
    header = block("# dataset/mine/mine.inter").splitlines()[1]
    rows = [f"u{user}\ti{(3 * user + 7 * at) % 40}\t{at}" for user in range(40) for at in range(12)]
    write(tmp_path, "dataset/mine/mine.inter", "\n".join([header, *rows, ""]))
    write(tmp_path, "dataset/mine/sensitive_asins_private.txt", "i1\ni2\ni3\n")
    write(tmp_path, "mine.yaml", next(text for path, _, text in files() if path.endswith("dataset/mine.yaml")))
    for line in block("python make_forget_set.py").splitlines():
        script, *words = shlex.split(line)[1:]
        run([ROOT / script, *words], tmp_path, [ROOT])
    assert (tmp_path / "results.json").is_file()
