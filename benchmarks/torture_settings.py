"""Trials for `torture.py` with odd settings in files, on the command line and in the environment."""

import contextlib
import importlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
from pathlib import Path

import torture
import yaml

AT_ONCE = 20
"""Number of runs that share one process."""

MOST_BYTES = 8 * 2**30
"""Limit of the address space of that process in bytes; larger allocations fail."""

ODD = (
    None, True, False, -1, 0, 1, 2, 0.5, -0.0, 1e-300, 1e300, 2**31, 2**63, 2**70, float("nan"), float("inf"), "", " ",
    "x", "DEBUGG", "x" * 300, "../../x", "a/b", "a\nb", "é", "1e3", "1,2", "[1,2]", "{a: b}", "None", "full", "cpu", [],
    [1], [-1, 0], [2**31], ["x", None], [[1], [2]], {}, {"a": 1}, {"uniform": 1}, {"uniform": -1}, {"LS": "x"},
    {"split": {"RS": [1, 0, 0]}}, {"inter": ["user_id"]}, {"inter": 3}, {1: 2},
)  # fmt: skip
"""Values that are given to any setting."""

TEXTS = (
    "a: &a [*a]\n", "a: &a {b: *a}\n", "epochs: 1\nepochs: 2\n", "{[", "\t- x\n", "- 1\n- 2\n", "epochs", "",
    "%YAML 9.9\n---\n", "a: !!python/object/apply:os.system [true]\n", "epochs: !!int x\n", "\x00",
    "\ufeffepochs: 1\n", "epochs: 1\r\ntopk: [3]\r\n", "x: 2021-13-45\n", "? [1, 2]\n: 3\n", "<<: 3\n",
    "epochs: .inf\n", "a: " + "[" * 2000 + "]" * 2000 + "\n",
    "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
)  # fmt: skip
"""Contents of settings files that are malformed or odd."""

SURROUNDINGS = (
    "WORLD_SIZE",
    "RANK",
    "LOCAL_RANK",
    "ERASE_SNAPSHOT_SECONDS",
    "COLUMNS",
    "HF_TOKEN",
    "HF_ENDPOINT",
    "TZ",
)
"""Environment variables that get odd values."""

_NOT_TRIED = {"nproc", "world_size"}
"""Settings that are left out: they are numbers of processes to start, and large values are valid."""

_WARNINGS = re.compile(r"unknown key|does nothing|Warning|warn\(|No space left on device; the run goes on")


def _known():
    """Return the names of all settings."""
    properties = Path(importlib.import_module("recbole").__file__).parent / "properties"
    found = set(yaml.safe_load((properties / "model/BPR.yaml").read_text()))
    found |= set(yaml.safe_load((properties / "overall.yaml").read_text()))
    return sorted((found | {"variant", "dataset", "model", "result_file", "base_checkpoint"}) - _NOT_TRIED)


class Setting:
    """The odd settings of one trial.

    Args:
        draw: random generator.

    Attributes:
        words: further command-line arguments.
        text: content of the settings file ``odd.yaml``; None: there is no such file.
        environment: environment variables.
    """

    def __init__(self, draw):
        self.words, self.text, self.environment, said = [], None, {}, {}
        how = draw.random()
        if how < 0.15:
            self.text = draw.choice(TEXTS) if draw.random() < 0.8 else draw.randbytes(20).decode("latin-1")
        elif how < 0.25:
            self.environment = {draw.choice(SURROUNDINGS): str(draw.choice(ODD)).replace("\0", "")}
        else:
            said = {draw.choice(_known()): draw.choice(ODD) for _ in range(draw.randint(1, 3))}
        if said and draw.random() < 0.5:
            self.text = yaml.safe_dump(said, allow_unicode=True)
        else:
            self.words = [word for key, value in said.items() for word in (f"--{key}", _as_word(value, draw))]

    def __str__(self):
        return f"{self.words} {self.text!r:.60} {self.environment}"


def _as_word(value, draw):
    return json.dumps(value) if isinstance(value, (list, dict)) and draw.random() < 0.5 else str(value)


def held(setting, call):
    """Run a training with odd settings; return the reason why the trial failed, or an empty string.

    Args:
        setting: a :class:`Setting`.
        call: function that runs a training with command-line arguments, and returns its exit status.
    """
    words = ["--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml", "--max_training_hours", "0.0005"]
    if setting.text is not None:
        Path("odd.yaml").write_text(setting.text, encoding="utf-8", errors="surrogateescape")
        words[5] = "tiny.yaml odd.yaml"
    err, before = io.StringIO(), dict(os.environ)
    signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, torture.MOST_SECONDS)
    try:
        os.environ.update(setting.environment)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
            status = call([*words, *setting.words])
    except SystemExit as stop:
        status = stop.code
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.environ.clear()
        os.environ.update(before)
    told = [line for line in err.getvalue().splitlines() if not _WARNINGS.search(line)]
    if status not in (0, 2, 3) or (status == 2 and 1 not in (len(told), err.getvalue().count("\n"))):
        return f"exit {status}, {err.getvalue()[-200:]!r}"
    return ""


def _too_long(*_of):
    raise TimeoutError(f"more than {torture.MOST_SECONDS} CPU seconds")


def several(place, settings):
    """Run several trials one after another in one process.

    Returns:
        A list of reasons, each empty if the trial held; shorter than `settings` if a trial ended the process.
    """
    folder, found = place.copy(place.plain), place.new().with_suffix(".reasons")

    def work():
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        main = importlib.import_module("recbole.quick_start.main").train_main
        for setting in settings:
            os.chdir(folder)
            reason = held(setting, main)
            with open(found, "a", encoding="utf-8") as file:
                file.write(json.dumps(reason) + "\n")
        return 0

    status, err, _ = torture.ended(work, torture.MOST_SECONDS * len(settings))
    reasons = [json.loads(line) for line in found.read_text().splitlines()] if found.exists() else []
    if len(reasons) < len(settings):
        reasons.append(f"the process ended with status {status}: {err[-300:]!r}")
    shutil.rmtree(folder)
    return reasons


def tried(place, seed, number):
    """Return the reason why a trial failed, or an empty string; :data:`AT_ONCE` trials are run together.

    Args:
        place: a `torture.Place`, which stores the results of all trials of a batch.
        seed: prefix of the random seed; the number of the trial follows it.
        number: number of the trial.
    """
    at, drawn = number % AT_ONCE, [Setting(random.Random(f"{seed}{one}")) for one in _those_with(number)]
    reasons = place.settled.setdefault(number - at, [])
    while len(reasons) <= at:  # if a trial ends the process, another process runs the rest
        reasons += several(place, drawn[len(reasons) :])
    return f"{drawn[at]}: {reasons[at]}" if reasons[at] else ""


def _those_with(number):
    first = number - number % AT_ONCE
    return range(first, first + AT_ONCE)
