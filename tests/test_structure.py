"""Rules for the source: imports between packages go one way, files stay short, and no paths of a machine occur."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "recbole"

ORDER = ("utils", "config", "data", "generators", "prepare", "model", "evaluator", "trainer", "ensemble",
         "unlearning", "scenario", "audit", "report", "quick_start", "doors")  # fmt: skip
"""The packages in ``recbole``; each may import from those before it."""

APART = {
    "model": {"generators", "prepare"},
    "evaluator": {"generators", "prepare"},
    "trainer": {"generators", "prepare"},
    "ensemble": {"generators", "prepare"},
    "unlearning": {"generators", "prepare"},
}
"""Package to earlier packages from which it must not import."""

BELOW = {room: set(ORDER[:at]) - APART.get(room, set()) for at, room in enumerate(ORDER)}
"""Package to the packages from which it may import."""

TEXT = {".py", ".md", ".yaml", ".toml", ".txt", ".def", ".cfg", ".sh", ""}
MACHINE = re.compile("|".join(rf"(?<![\w.])/{folder}/" for folder in ("work", "tmp", "root", "home", "Users", "mnt")))


def sources():
    return sorted(PACKAGE.rglob("*.py"))


def own_files():
    """Return the repository's own text files, without hidden (except .ci), installed and generated files."""
    left_out = {"saved", "log", "log_tensorboard", "results", "build", "__pycache__"}
    tops = [top for top in REPOSITORY.iterdir() if top.name == ".ci" or not top.name.startswith(".")]
    found = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*"))]
    found = [path for path in found if path.suffix in TEXT and path.is_file() and ".egg-info" not in str(path)]
    return sorted(path for path in found if not left_out & set(path.relative_to(REPOSITORY).parts))


def name(path):
    return str(path.relative_to(REPOSITORY))


def imported_rooms(path):
    """Yield (line, package) for each import from ``recbole`` anywhere in a file, also inside of functions."""
    package = ("recbole", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            modules = [f"{module}.{alias.name}" for alias in node.names] if module == "recbole" else [module]
        else:
            continue
        for module in modules:
            if module.split(".")[0] == "recbole" and "." in module:
                yield node.lineno, module.split(".")[1]


def test_imports_run_one_way():
    wrong = []
    for path in sources():
        parts = path.relative_to(PACKAGE).parts
        top = {"quick_start"} if parts == ("__main__.py",) else set()  # a program, like the scripts
        allowed = BELOW[parts[0]] | {parts[0]} if len(parts) > 1 else top
        wrong += [f"{name(path)}:{line}: {room}" for line, room in imported_rooms(path) if room not in allowed]
    assert not wrong


def test_the_order_of_the_rooms_is_complete_and_without_circles():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms == set(BELOW)
    assert all(BELOW[below] < BELOW[room] for room in BELOW for below in BELOW[room])


def test_imports_are_found_wherever_they_hide(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    path = tmp_path / "data" / "x.py"
    path.parent.mkdir()
    path.write_text(
        "import recbole.model.graph\nfrom recbole import trainer\ndef f():\n    from ..evaluator import y\n"
    )
    assert sorted(imported_rooms(path)) == [(1, "model"), (2, "trainer"), (4, "evaluator")]


@pytest.mark.parametrize("script", ["run_recbole.py", "unlearn.py", "make_forget_set.py"])
def test_the_scripts_are_thin(script):
    path = REPOSITORY / script
    assert len(path.read_text().splitlines()) < 30
    assert {room for _, room in _rooms_of_script(path)} == {"quick_start"}


def _rooms_of_script(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("recbole."):
            yield node.lineno, node.module.split(".")[1]


def test_no_file_is_long():
    lengths = {
        name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in own_files() if path.suffix == ".py"
    }
    assert len(lengths) > 50
    assert {path: length for path, length in lengths.items() if length > 500} == {}
    assert {path: n for path, n in lengths.items() if path.startswith("recbole/") and n > 350} == {}


def test_no_function_is_longer_than_a_screen():
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 60:
                found.append(f"{name(path)}:{node.lineno}: {node.name}")
    assert found == []


def test_every_module_and_every_public_thing_says_what_it_is():
    silent = []
    for path in sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        silent += [] if ast.get_docstring(tree) else [name(path)]
        things = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        silent += [
            f"{name(path)}:{node.lineno}: {node.name}"
            for node in things
            if not node.name.startswith("_") and not ast.get_docstring(node)
        ]
    assert silent == []


def test_nothing_names_the_machine_it_was_written_on():
    found = []
    for path in own_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if MACHINE.search(line):
                found.append(f"{name(path)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_a_path_of_a_machine_is_found():
    assert all(MACHINE.search(text) for text in (f"cd /{'work'}/x", f'"/{"home"}/me"', f"=/{'tmp'}/y"))
    assert not any(MACHINE.search(text) for text in ("a/tmp/b", "../home/x", "work/x", "https://x.org/y"))


def test_no_two_files_of_tests_share_a_name():
    """The folders of tests are not Python packages, so that pytest could not import the second file."""
    names = [path.name for path in (REPOSITORY / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
