"""The rows of the tables of `speed.py`: each has a label, and a part of `parts.py` or a command that is measured."""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from scale import ALGORITHMS, REQUESTS, TASKS, config_file, spec_of
from synthetic import CATEGORY, FRACTION, FULL, SEED

from recbole.quick_start.presets import preset_values

ORIGINAL = Path(__file__).with_name("original.yaml")
SIZES = FULL["CF"]
STEPS = 100
"""Training steps from which the time of a long epoch is extrapolated, and that train large models before requests."""

DATA = {"CF": "ml-100k", "SBR": "diginetica_sample", "NBR": "tafeng_1000"}
"""Task to data set, with the filters of ``configs/`` as in the measurements of ERASE's code."""

QUIET = {"use_gpu": False, "show_progress": False, "tensorboard": False, "state": "WARNING"}
TRAINED = {"BPR": 20, "LightGCN": 10, "SGL": 5, "DNNTSP": 2}
"""Epochs for which the models of the requests are trained; 3 for all other models."""

EPOCHS = {"BPR": 5}
"""Number of measured epochs, for models with very short epochs; 1 for all other models."""

RETRAINING = 100
"""Epochs of the retraining of BPR, with validation after each."""

PUT = {
    "BPR": ALGORITHMS, "LightGCN": ALGORITHMS, "SGL": ("scif", "kookmin"),
    "GRU4Rec": ("kookmin", "fanchuan", "gif", "seif", "scif", "ceu", "idea"),
    "NARM": ("scif", "kookmin"), "SASRec": ("scif", "kookmin"), "SRGNN": ("scif", "kookmin"),
    "DNNTSP": ("kookmin", "scif", "gif"), "Sets2Sets": ("kookmin", "scif", "gif"),
}  # fmt: skip
"""Model to the algorithms whose requests are measured."""

AS_ERASE = {
    "GRU4Rec": ("scif", "ceu", "idea"),
    "NARM": ("scif",),
    "SASRec": ("scif",),
    "SRGNN": ("scif",),
    "DNNTSP": ("scif",),
    "Sets2Sets": ("scif",),
}
"""Model to the algorithms that are also measured with ERASE's hyper-parameters (``--preset erase``), which the
measurements of ERASE's code used. The defaults have less damping and more iterations."""

COMMANDS = {
    "import torch": ["-c", "import torch"],
    "import recbole.quick_start, init_seed": [
        "-c", "import recbole.quick_start\nfrom recbole.utils import init_seed\ninit_seed(2, True)",
    ],
    "unlearn.py --help": ["<source>/unlearn.py", "--help"],
}  # fmt: skip
"""Start-up costs: label to the arguments of the Python interpreter; ``<source>`` is the folder of the revision."""


@dataclass(frozen=True)
class Row:
    """A row of a table: one measurement that is made on both sides.

    Attributes:
        table: ``structure`` (infrastructure) or ``models``.
        label: name of the row.
        spec: specification of a part (see `parts.py`); empty if the row is a command.
        command: arguments of the Python interpreter; empty if the row is a part.
        base: specification of the part that trains ``spec["weights"]``; None if the row needs no trained model.
        home: for rows that run `unlearn.py`, the :class:`~synthetic.Shape` of the log; None for other rows.
        original: CPU seconds of ERASE's code, with keys ``shipped`` and ``plain`` (without PyTorch's anomaly mode).
        good: exit statuses of the command that count as success.
    """

    table: str
    label: str
    spec: dict = field(default_factory=dict)
    command: tuple = ()
    base: dict | None = None
    home: object = None
    original: dict = field(default_factory=dict)
    good: tuple = (0,)


def rows(args):
    """Return all rows whose label matches ``--only``, in the order of the tables."""
    every = [*(Row("structure", label, command=tuple(words)) for label, words in COMMANDS.items())]
    for shape in SIZES[:1] if args.quick else SIZES:
        every += of_size(args.folder, shape)
    every += of_baskets(args.data, args.folder)
    if not args.quick:
        every += of_catalogue(args.folder)
    original = yaml.safe_load(ORIGINAL.read_text(encoding="utf-8"))["speed"]
    for model in PUT:
        every += of_model(args, model, original[model])
    return [row for row in every if re.search(args.only, row.label, re.IGNORECASE)]


def of_size(folder, shape):
    """Return the rows of the table ``structure`` on a log of ratings of some shape."""
    about, structure = f", {shape.rows:,} rows", lambda label, **more: Row("structure", label + about, **more)
    bpr, graph = (spec_of(folder, shape, model) for model in ("BPR", "LightGCN"))
    words = unlearning(folder, shape)
    return [
        structure("reading the log", spec=bpr | {"part": "load"}),
        structure("questions of an evaluation", spec=bpr | {"part": "rows"}),
        structure("views of four checkpoints", spec=bpr | {"part": "views"}),
        structure("graph of LightGCN", spec=graph | {"part": "graph"}),
        structure(
            "request LightGCN scif", spec=graph | {"part": "request", "algorithm": "scif", "requests": REQUESTS},
            base=graph | {"part": "epoch", "steps": STEPS},
        ),
        structure("unlearn.py, evaluation", spec=bpr | {"part": "evaluating", "words": words}, home=shape),
        structure("unlearn.py, all of it", command=("<source>/unlearn.py", *words), home=shape, good=(0, 3)),
    ]  # fmt: skip


def training(folder, shape):
    """Return the arguments that train the base of the `unlearn.py` rows: BPR for one epoch without validation."""
    return [
        "--model", "BPR", "--dataset", shape.name, "--data_path", str(folder), "--seed", str(SEED),
        "--config_files", str(config_file("BPR")), "settings.yaml",
    ]  # fmt: skip


def unlearning(folder, shape):
    """Return the arguments of `unlearn.py` for 20 requesting users, without retrained models to compare with."""
    return [
        *training(folder, shape), "--sensitive_category", CATEGORY, "--unlearning_fraction", str(FRACTION),
        "--unlearning_algorithm", "kookmin", "--overwrite", "True",
    ]  # fmt: skip


def of_baskets(data, folder):
    """Return the rows about Sets2Sets, which has an item-by-item gate, on all of Ta-Feng."""
    spec = {
        "data": str(data), "name": "tafeng", "model": "Sets2Sets", "files": [str(config_file("Sets2Sets"))],
        "settings": QUIET, "weights": str(folder / "weights" / "tafeng_Sets2Sets.pth"),
    }  # fmt: skip
    base, steps = spec | {"part": "epoch", "steps": STEPS}, {"part": "epoch", "steps": STEPS, "weights": None}
    put = {"part": "request", "algorithm": "scif", "requests": REQUESTS}
    return [
        Row("structure", "epoch Sets2Sets, Ta-Feng", spec=spec | steps),
        Row("structure", "request Sets2Sets scif, Ta-Feng", spec=spec | put, base=base),
        Row("structure", "snapshot of Sets2Sets, Ta-Feng", spec=spec | {
            "part": "snapshot", "snapshot": str(folder / "sets2sets.resume"),
        }),
    ]  # fmt: skip


def of_catalogue(folder):
    """Return the rows about requests in a catalogue of 400,000 items, of which about 382,000 occur in the log."""
    shape = FULL["SBR"][1]
    spec = spec_of(folder, shape, "GRU4Rec")
    base, put = spec | {"part": "epoch", "steps": STEPS}, {"part": "request", "requests": REQUESTS}
    return [
        Row("structure", f"request GRU4Rec {name}, {shape.items:,} items", spec | put | {"algorithm": name}, base=base)
        for name in ("ceu", "scif")
    ]


def of_model(args, model, original):
    """Return the rows of a model: an epoch, a retraining (only BPR), and a request with each algorithm."""
    name = DATA[TASKS[model]]
    spec = {
        "data": str(args.folder / "data" if name == "tafeng_1000" else args.data), "name": name, "model": model,
        "files": [str(config_file(model))], "settings": QUIET,
        "weights": str(args.folder / "weights" / f"{name}_{model}.pth"),
    }  # fmt: skip
    base, put = {"part": "base", "epochs": TRAINED.get(model, 3)}, {"part": "request", "requests": REQUESTS}
    epoch = spec | {"part": "epoch", "weights": None, "epochs": EPOCHS.get(model, 1)}
    found = [Row("models", f"epoch {model}", epoch, original=original["epoch"])]
    if model == "BPR":
        whole = spec | {"part": "retraining", "epochs": RETRAINING}
        found.append(Row("models", f"retraining {model}, {RETRAINING} epochs", whole, original=original["retraining"]))
    for name in PUT[model]:
        row = spec | put | {"algorithm": name}
        found.append(Row("models", f"request {model} {name}", row, base=spec | base, original=original.get(name, {})))
    for name in AS_ERASE.get(model, ()):
        row = spec | put | {"algorithm": name, "settings": QUIET | preset_values("erase", name, model)}
        label = f"request {model} {name}, ERASE's values"
        found.append(Row("models", label, row, base=spec | base, original=original.get(name, {})))
    return found


def command(row, source):
    """Return the command line of a row on the revision in the folder `source`."""
    return [sys.executable, *(word.replace("<source>", str(source)) for word in row.command)]
