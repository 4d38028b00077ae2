"""Imports and steps that RecBole 1.2.1's documentation shows: they work, or are rejected by name."""

import importlib
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

from recbole.utils import NotAvailable

DOCUMENT = Path(__file__).parents[2] / "docs" / "recbole.md"

HERE, REFUSED, ON_CALL = "here", "refused", "on call"
"""The outcome for a name: it can be imported; or an error, at its import or its call, names it and gives the
reason or an alternative."""

QUICK_START, MODULES, CASE_STUDY = "quick start", "use modules", "case study"
SAVE, TUNING, CUSTOM, DATA = "save and load", "tuning", "customize models", "data flow"

IMPORTS = [
    (QUICK_START, "recbole.quick_start", "run_recbole", HERE),
    (QUICK_START, "recbole.quick_start", "run", HERE),
    (QUICK_START, "recbole.quick_start", "run_recboles", REFUSED),
    (MODULES, "recbole.config", "Config", HERE),
    (MODULES, "recbole.data", "create_dataset", HERE),
    (MODULES, "recbole.data", "data_preparation", HERE),
    (MODULES, "recbole.model.general_recommender", "BPR", HERE),
    (MODULES, "recbole.model.sequential_recommender", "GRU4Rec", HERE),
    (MODULES, "recbole.trainer", "Trainer", HERE),
    (MODULES, "recbole.utils", "init_seed", HERE),
    (MODULES, "recbole.utils", "init_logger", HERE),
    (MODULES, "recbole.utils", "get_model", HERE),
    (MODULES, "recbole.utils", "get_trainer", HERE),
    (MODULES, "recbole.utils", "set_color", HERE),
    (MODULES, "recbole.utils", "get_environment", HERE),
    (MODULES, "recbole.utils", "get_gpu_usage", HERE),
    (MODULES, "recbole.utils", "get_flops", REFUSED),
    (MODULES, "recbole.utils", "get_tensorboard", REFUSED),
    (MODULES, "recbole.utils", "WandbLogger", REFUSED),
    (MODULES, "recbole.utils", "list_to_latex", REFUSED),
    (MODULES, "recbole.utils", "early_stopping", HERE),
    (MODULES, "recbole.utils", "calculate_valid_score", HERE),
    (MODULES, "recbole.utils", "dict2str", HERE),
    (MODULES, "recbole.utils", "ensure_dir", HERE),
    (MODULES, "recbole.utils", "get_local_time", HERE),
    (MODULES, "recbole.data.transform", "construct_transform", HERE),
    (CASE_STUDY, "recbole.quick_start", "load_data_and_model", HERE),
    (CASE_STUDY, "recbole.utils.case_study", "full_sort_topk", HERE),
    (CASE_STUDY, "recbole.utils.case_study", "full_sort_scores", HERE),
    (SAVE, "recbole.data", "save_split_dataloaders", ON_CALL),
    (SAVE, "recbole.data", "load_split_dataloaders", ON_CALL),
    (TUNING, "recbole.trainer", "HyperTuning", HERE),
    (TUNING, "recbole.quick_start", "objective_function", HERE),
    (CUSTOM, "recbole.model.abstract_recommender", "GeneralRecommender", HERE),
    (CUSTOM, "recbole.model.abstract_recommender", "SequentialRecommender", HERE),
    (CUSTOM, "recbole.model.loss", "BPRLoss", HERE),
    (CUSTOM, "recbole.utils", "InputType", HERE),
    (CUSTOM, "recbole.utils", "ModelType", HERE),
    (CUSTOM, "recbole.utils", "EvaluatorType", HERE),
    (CUSTOM, "recbole.utils", "FeatureType", HERE),
    (CUSTOM, "recbole.utils", "FeatureSource", HERE),
    (CUSTOM, "recbole.trainer", "KGTrainer", REFUSED),
    (CUSTOM, "recbole.trainer", "S3RecTrainer", REFUSED),
    (DATA, "recbole.data", "Interaction", HERE),
    (DATA, "recbole.data.interaction", "Interaction", HERE),
    (DATA, "recbole.data.interaction", "cat_interactions", HERE),
    (DATA, "recbole.data.dataset", "Dataset", HERE),
    (DATA, "recbole.data.dataloader", "TrainDataLoader", HERE),
    (DATA, "recbole.data.dataloader.general_dataloader", "FullSortEvalDataLoader", HERE),
    (DATA, "recbole.data.dataloader.general_dataloader", "NegSampleEvalDataLoader", HERE),
    (DATA, "recbole.evaluator", "Evaluator", HERE),
    (DATA, "recbole.evaluator", "Collector", HERE),
    (DATA, "recbole.evaluator", "metrics_dict", HERE),
    (DATA, "recbole.evaluator.register", "metrics_dict", HERE),
]
"""Page of the documentation, module, name, outcome."""

NO_MODULE = [
    "recbole.sampler",
    "recbole.model.context_aware_recommender",
    "recbole.model.knowledge_aware_recommender",
    "recbole.utils.wandblogger",
]
"""Modules of RecBole that this package does not have; Python's ImportError names them."""


@pytest.mark.parametrize(("page", "module", "name", "becomes"), IMPORTS)
def test_each_documented_import_has_its_outcome(page, module, name, becomes):
    if becomes != REFUSED:
        found = getattr(importlib.import_module(module), name)
        assert found is not None
        if becomes == ON_CALL:
            with pytest.raises(NotAvailable, match=rf"{name}: .{{20}}"):
                found(None) if name.startswith("load") else found(None, None)
        return
    with pytest.raises(ImportError, match=rf"{module}\.{name}: .{{20}}") as told:
        exec(f"from {module} import {name}")
    assert isinstance(told.value, NotAvailable)


@pytest.mark.parametrize("module", NO_MODULE)
def test_missing_modules_are_import_errors(module):
    with pytest.raises(ModuleNotFoundError, match=module.rpartition(".")[2]):
        importlib.import_module(module)


def told_lines():
    """Yield the lines of the table of imports in docs/recbole.md, one for each page and module."""
    for (page, module), rows in groupby(IMPORTS, key=lambda row: row[:2]):
        names = {kind: [] for kind in (HERE, REFUSED, ON_CALL)}
        for *_, name, becomes in rows:
            names[becomes].append(f"`{name}`")
        refused = names[REFUSED] + [f"{name} (when called)" for name in names[ON_CALL]]
        yield f"| {page} | `{module}` | {', '.join(names[HERE])} | {', '.join(refused)} |"


def test_the_page_lists_all_imports():
    page = DOCUMENT.read_text(encoding="utf-8")
    table = page[page.index("| page | from |") :].partition("\n\n")[0].splitlines()[2:]
    assert table == list(told_lines())
    assert all(f"`{module}`" in page for module in NO_MODULE)


def test_each_step_that_the_page_lists_has_its_test():
    page = DOCUMENT.read_text(encoding="utf-8")
    table = page[page.index("| page | step |") :].partition("\n\n")[0].splitlines()[2:]
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in sorted(DOCUMENT.parents[1].glob("tests/*/test_*.py"))
    )
    assert len(table) >= 15
    for line in table:
        named = re.findall(r"`(test_\w+)`", line.split("|")[-2])
        assert named and all(f"def {name}(" in tests for name in named), line


def test_every_exported_name_exists():
    """The tables of lazily imported names agree with the modules."""
    for package in ("recbole.utils", "recbole.data", "recbole.trainer", "recbole.evaluator", "recbole.quick_start"):
        find = importlib.import_module(package).__getattr__
        tables = [cell.cell_contents for cell in find.__closure__ if isinstance(cell.cell_contents, dict)]
        assert tables
        for name in [name for table in tables for name in table]:
            try:
                assert find(name) is not None
            except NotAvailable as error:
                assert name in str(error)


def test_importing_the_package_loads_no_other_module():
    script = "import sys, recbole, recbole.utils, recbole.quick_start; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "pandas", "pyarrow", "scipy", "recbole.doors", "recbole.model"}
