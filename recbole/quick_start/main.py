"""The entry points of the programs: parse the command line, run, and return the exit status."""

import argparse
import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.config.plain import refuse_odd_text
from recbole.utils import UserError, launcher
from recbole.utils.ending import ended
from recbole.utils.start_up import loading

if TYPE_CHECKING:
    from recbole.config import Config

COMPLETE, NOT_ALL_APPLIED = 0, 3
"""Exit statuses of a run that is complete.

0: everything succeeded. 3: a deletion request timed out or diverged, all requests were skipped, or a model's scores are
not finite. The statuses after errors and signals come from :func:`recbole.utils.ending.ended`, and Python itself exits
with 1 after an internal error.
"""


def train_main(argv: list[str] | None = None, program: str | None = None) -> int:
    """Run the training program and return its exit status.

    Args:
        argv: the command-line arguments; None for those of the process.
        program: the program's name in messages; None for the name under which it was started.
    """
    return _guarded(program or _called("run_recbole.py", "erase-train"), _train, argv)


def unlearn_main(argv: list[str] | None = None, program: str | None = None) -> int:
    """Run the unlearning program and return its exit status.

    Args:
        argv: the command-line arguments; None for those of the process.
        program: the program's name in messages; None for the name under which it was started.
    """
    return _guarded(program or _called("unlearn.py", "erase-unlearn"), _unlearn, argv)


def make_forget_set_main(argv: list[str] | None = None, program: str | None = None) -> int:
    """Run the program that draws forget sets and spam, and return its exit status.

    Args:
        argv: the command-line arguments; None for those of the process.
        program: the program's name in messages; None for the name under which it was started.
    """
    name = program or _called("make_forget_set.py", "erase-make-forget-set")
    return _guarded(name, _make_forget_set, argv, "each file is complete or unchanged")


def _called(script: str, command: str) -> str:
    """Return the name under which the program was started, for messages.

    Args:
        script: the name of the script, such as ``unlearn.py``.
        command: the name of the installed command, such as ``erase-unlearn``.

    Returns:
        ``command`` if the process was started with this command, otherwise ``script``.
    """
    return command if Path(sys.argv[0]).stem == command else script


def _guarded(
    program: str,
    run: Callable[[list[str], str], int],
    argv: list[str] | None,
    kept: str | None = None,
) -> int:
    def work() -> int:
        _name_this_package()
        given = sys.argv[1:] if argv is None else argv
        refuse_odd_text(given, "the command line")
        return run(given, program)

    return ended(program, work, kept, tells=launcher.tells)


def _name_this_package() -> None:
    """If the original RecBole is also installed, print which of the two packages ``recbole`` is running."""
    others = list(importlib.metadata.distributions(name="recbole"))
    if others:
        here = Path(__file__).resolve().parent.parent
        print(f"two packages are called recbole: running {here}, not the installed RecBole {others[0].version}")


def configured(namespace: argparse.Namespace, overrides: dict[str, Any], preset: str | None = None) -> "Config":
    """Build the configuration of a parsed command line.

    Args:
        namespace: the flags, from :mod:`recbole.quick_start.command_line`.
        overrides: the other settings of the command line, key to value.
        preset: the name of a preset (a packaged set of hyper-parameters for pairs of algorithm and model) whose values
            replace the defaults; None for the defaults.

    Raises:
        UserError: a file cannot be read, a setting is unknown or invalid, or the preset has no values for the algorithm
            on the model.
    """
    from recbole.config import Config
    from recbole.quick_start.command_line import config_values, declared_defaults

    def layered(**layers: Any) -> Config:
        return Config(
            namespace.model,
            namespace.dataset,
            namespace.config_files,
            command_line={**config_values(namespace), **overrides},
            extra_defaults=declared_defaults(namespace),
            also_known=namespace.flag_names,
            **layers,
        )

    config = layered()
    if preset is not None:
        from recbole.quick_start.presets import preset_values

        config = layered(config_dict=preset_values(preset, config["unlearning_algorithm"], config["model"]))
    from recbole.evaluator import check_metrics

    check_metrics(config)
    for name in namespace.ignored:
        config.warnings.append(f"--{name} is accepted for compatibility with ERASE, but has no effect")
    return config


def _train(argv: list[str], program: str) -> int:
    from recbole.quick_start.command_line import train_arguments, without_secrets

    namespace, overrides = train_arguments(argv, program)
    launcher.die_with_launcher()
    several = max(namespace.nproc, namespace.world_size) > 1 or launcher.launched()
    if several and namespace.device not in (None, "cpu"):
        raise UserError(
            f"--device {namespace.device} names one GPU, but each of several processes uses its own GPU; omit --device"
        )
    if launcher.launched():
        overrides["gpu_id"] = str(launcher.local_rank())
    with loading():
        config = configured(namespace, overrides)
    if several and not launcher.launched():
        numbers = namespace.nproc, namespace.world_size, namespace.group_offset
        return launcher.launch(*numbers, namespace.ip, namespace.port, [sys.argv[0], *argv])
    with loading():
        from recbole.quick_start.closing import all_finite
        from recbole.quick_start.train import run_recbole
        from recbole.utils import distributed

    with distributed.joined(config["use_gpu"]):
        record = run_recbole(config, without_secrets(argv), namespace.result_file, namespace.reference_checkpoint)
    return COMPLETE if all_finite(record["metrics"]) else NOT_ALL_APPLIED


def _unlearn(argv: list[str], program: str) -> int:
    from recbole.quick_start.attribute_config import expanded
    from recbole.quick_start.command_line import unlearn_arguments, without_secrets

    argv, trains = expanded(argv)
    if trains:
        return _train(argv, program)
    namespace, overrides = unlearn_arguments(argv, program=program)
    with loading():
        config = configured(namespace, overrides, namespace.preset)
        from recbole.quick_start.closing import all_finite
        from recbole.quick_start.unlearning import unlearn_recbole

    record = unlearn_recbole(config, without_secrets(argv), namespace.result_file)
    requests = record["requests"]
    if not all_finite(record["metrics"]):
        return NOT_ALL_APPLIED
    if config["eval_only"]:
        return COMPLETE
    failed = (
        requests["timeout"] + requests["diverged"] > 0 or requests["applied"] + requests.get("reinitialised", 0) == 0
    )
    return NOT_ALL_APPLIED if failed else COMPLETE


def _make_forget_set(argv: list[str], program: str) -> int:
    from recbole.quick_start.forget_sets import make_forget_sets

    make_forget_sets(argv, program)
    return COMPLETE
