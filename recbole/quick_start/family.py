"""The command ``erase-bench``, which runs all programs: ``erase-bench train``, ``erase-bench unlearn``, ..."""

import argparse
import sys
from collections.abc import Callable

import recbole
from recbole.utils import OneLineParser
from recbole.utils.ending import ended

_ABOUT = """machine unlearning in recommender systems: train a model, unlearn, compare with a retrained model

  prepare      download or convert a data set                             (dataset/<name>/prepare.py)
  train        train a model, or retrain it without forgotten rows        (run_recbole.py)
  unlearn      process deletion requests and evaluate the result          (unlearn.py)
  forget-set   draw forget sets, or generate spam                         (make_forget_set.py)
  report       compare result files in a table
  scan         check whether an ensemble still depends on forgotten rows
  attack       measure how well attackers infer a user attribute from a model
  list         list models, algorithms, metrics, scenarios, data sets, presets, configuration keys

each has --help"""
_LISTS = ("models", "algorithms", "metrics", "scenarios", "datasets", "presets", "keys")


def main(argv: list[str] | None = None) -> int:
    """Run the program that the first argument names, such as ``train``, and return its exit status.

    Args:
        argv: the command-line arguments; None for those of the process.
    """
    arguments = sys.argv[1:] if argv is None else argv
    programs = {"prepare": _prepare, "train": _train, "unlearn": _unlearn, "forget-set": _forget_set}
    programs |= {"report": _report, "scan": _scan, "attack": _attack, "list": _list}
    if arguments and arguments[0] in programs:
        return programs[arguments[0]](arguments[1:])
    parser = OneLineParser(prog="erase-bench", description=_ABOUT,
                           formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--version", action="version", version=version())
    parser.add_argument("program", choices=tuple(programs), metavar="program", help="one of the above")
    parser.parse_args(arguments or ["--help"])
    return 0


def version() -> str:
    """Return the text for ``--version``: the program's version and its results version.

    The results version is a number that is increased when a change of the program changes results.
    """
    return f"erase-bench {recbole.__version__}, results version {recbole.RESULTS_VERSION}"


def _prepare(arguments: list[str]) -> int:
    from recbole.quick_start.preparing import main as prepare

    return prepare(arguments, "erase-bench prepare")


def _train(arguments: list[str]) -> int:
    from recbole.quick_start.main import train_main

    return train_main(arguments, "erase-bench train")


def _unlearn(arguments: list[str]) -> int:
    from recbole.quick_start.main import unlearn_main

    return unlearn_main(arguments, "erase-bench unlearn")


def _forget_set(arguments: list[str]) -> int:
    from recbole.quick_start.main import make_forget_set_main

    return make_forget_set_main(arguments, "erase-bench forget-set")


def _report(arguments: list[str]) -> int:
    from recbole.quick_start.report import main as report

    return report(arguments, "erase-bench report")


def _scan(arguments: list[str]) -> int:
    from recbole.quick_start.scan import main as scan

    return scan(arguments, "erase-bench scan")


def _attack(arguments: list[str]) -> int:
    from recbole.quick_start.attack import main as attack

    return attack(arguments, "erase-bench attack")


def _list(arguments: list[str]) -> int:
    parser = OneLineParser(prog="erase-bench list", description="List what is available, one per line.")
    parser.add_argument("what", nargs="*", choices=(*_LISTS, []), metavar="|".join(_LISTS),
                        help="which lists (default: all but keys)")  # fmt: skip
    chosen = parser.parse_args(arguments).what or [name for name in _LISTS if name != "keys"]
    makers: dict[str, Callable[[], list[str]]] = {
        "models": _models, "algorithms": _algorithms, "metrics": _metrics, "scenarios": _scenarios,
        "datasets": _datasets, "presets": _presets, "keys": _keys,
    }  # fmt: skip

    def print_lists() -> int:
        for name in chosen:
            print(f"{name}:", *makers[name](), sep="\n  ")
        return 0

    return ended("erase-bench list", print_lists, "nothing was changed")


def _models() -> list[str]:
    from recbole.model import model_modules
    from recbole.model import names as class_names
    from recbole.utils import plugins

    tasks = {"general": "CF", "sequential": "SBR", "next_basket": "NBR"}
    kinds = {path.split(".")[-1]: tasks[path.split(".")[2].removesuffix("_recommender")]
             for path in model_modules().values()}  # fmt: skip
    own = [f"{name} ({kinds[name.lower()]})" for name in sorted(class_names())]
    return own + [f"{name} (from {point.value})" for name, point in plugins.offered(plugins.MODELS).items()]


def _algorithms() -> list[str]:
    from recbole.unlearning.registry import about, algorithm_names

    return [f"{name}: {about(name)}" for name in algorithm_names()]


def _metrics() -> list[str]:
    from recbole.evaluator.metrics import metric_names

    return metric_names()


def _scenarios() -> list[str]:
    from recbole.scenario.known_scenarios import scenarios

    return [f"{name}: {_first_line(cls.__doc__)}" for name, cls in scenarios().items()]


def _datasets() -> list[str]:
    from recbole.generators.commands import prepared_datasets, preparing_command

    return [f"{name}: {preparing_command(name)}" for name in prepared_datasets()]


def _presets() -> list[str]:
    from recbole.quick_start.presets import pairs_of, preset_names

    return [f"{preset}: {pairs_of(preset)}" for preset in preset_names()]


def _keys() -> list[str]:
    from recbole.config.layers import PROPERTIES

    lines = (PROPERTIES / "overall.yaml").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]
