"""RecBole's quick start: single calls that train and evaluate a model, or unlearn a forget set."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.config import Config
from recbole.doors.binding import bound
from recbole.doors.data import create_dataset, data_preparation
from recbole.doors.utils import get_trainer, init_logger
from recbole.evaluator import check_metrics
from recbole.model import get_model
from recbole.trainer.checkpoint import load_checkpoint, load_weights
from recbole.utils import NotAvailable, UserError, init_seed
from recbole.utils.undisturbed import undisturbed

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("recbole")

Files = str | Path | Sequence[str | Path] | None


class Result(dict[str, Any]):
    """The result of :func:`run_recbole`: RecBole's dictionary, with a method that returns the metrics as a table."""

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per metric, and the columns ``valid`` (best validation) and ``test``."""
        import pandas as pd

        return pd.DataFrame({"valid": self["best_valid_result"] or {}, "test": self["test_result"]})


def run(
    model: str | None = None,
    dataset: str | None = None,
    config_file_list: Files = None,
    config_dict: Mapping[str, Any] | None = None,
    saved: bool = True,
    nproc: int = 1,
    world_size: int = -1,
    ip: str = "localhost",
    port: str = "5678",
    group_offset: int = 0,
) -> Result:
    """Train and evaluate a model, exactly as :func:`run_recbole` does.

    RecBole's function of this name can also start several processes, which is not available here: use the command
    ``run_recbole.py --nproc``.

    Args:
        model, dataset, config_file_list, config_dict, saved: as for :func:`run_recbole`.
        nproc, world_size: numbers of processes on this machine and in all, which must not be above 1.
        ip, port, group_offset: ignored, as they are only of use for several processes.

    Raises:
        NotAvailable: several processes are requested.
        UserError: as in :func:`run_recbole`.
    """
    if nproc > 1 or world_size > 1:
        raise NotAvailable("run(nproc=...): only the command run_recbole.py --nproc can start several processes")
    return run_recbole(model, dataset, config_file_list, config_dict, saved)


def run_recbole(
    model: str | None = None,
    dataset: str | None = None,
    config_file_list: Files = None,
    config_dict: Mapping[str, Any] | None = None,
    saved: bool = True,
    queue: None = None,
) -> Result:
    """Train a model and evaluate it on the test data.

    Changes to logging, to torch's number of threads and to its determinism flags are undone at the end.

    Args:
        model, dataset: the class name of the model and the name of the data set; None for the names in the config files
            or ``config_dict``.
        config_file_list: path or paths of YAML files with settings.
        config_dict: further settings, a dict from name to value; they override the files.
        saved: whether the weights of the best epoch are saved, as ``<checkpoint_dir>/<model>-<time>.pth``.
        queue: ignored. RecBole uses it to pass results between processes.

    Returns:
        A dictionary: ``best_valid_score``, the value of the setting ``valid_metric`` in the best validation;
            ``valid_score_bigger``, whether larger values are better; ``best_valid_result`` and ``test_result``, dicts
            from metric to value (mean over users); and if saved, ``model_file``, the path.

    Raises:
        UserError: an input or a setting is invalid, or training diverged.
    """
    config = Config(model, dataset, config_file_list, config_dict)
    with undisturbed():
        init_logger(config)
        return _trained(config, saved)


def objective_function(
    config_dict: Mapping[str, Any] | None = None, config_file_list: Files = None, saved: bool = True
) -> Result:
    """Train a model and evaluate it, logging only errors. :class:`HyperTuning` calls this function for each trial.

    Args:
        config_dict: settings, a dict from name to value. It contains ``model`` and ``dataset``, unless a file does.
        config_file_list, saved: as for :func:`run_recbole`.

    Returns:
        The dictionary of :func:`run_recbole`, and the model's name under ``model``.

    Raises:
        UserError: as in :func:`run_recbole`.
    """
    config = Config(config_file_list=config_file_list, config_dict=config_dict)
    with undisturbed():
        logger.setLevel(logging.ERROR)
        return Result(model=config["model"], **_trained(config, saved, verbose=False))


def _trained(config: Config, saved: bool, verbose: bool = True) -> Result:
    """Train and evaluate a model by calling RecBole's functions in their usual order.

    Args:
        config: the settings.
        saved: whether the weights of the best epoch are saved.
        verbose: whether the training writes log messages.

    Returns:
        The dictionary of :func:`run_recbole`.
    """
    check_metrics(bound(config))
    for line in config.warnings:
        logger.warning(line)
    dataset = create_dataset(config)
    logger.info(dataset)
    train_data, valid_data, test_data = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"], config["device"])
    model = get_model(config["model"])(config, train_data.dataset).to(config["device"])
    logger.info(model)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    score, best = trainer.fit(train_data, valid_data, verbose, saved, config["show_progress"])
    test = trainer.evaluate(test_data)
    logger.info("best valid : %s", best)
    logger.info("test result: %s", test)
    config.warn_unread(logger)
    found = Result(best_valid_score=score, valid_score_bigger=config["valid_metric_bigger"], best_valid_result=best)
    found.update({"test_result": test} | ({"model_file": trainer.saved_model_file} if saved else {}))
    return found


def load_data_and_model(model_file: str | Path) -> tuple[Any, ...]:
    """Load a saved model, and read and split its data set again.

    Args:
        model_file: the path of a model that :func:`run_recbole` or the command-line programs saved.

    Returns:
        The settings, the model, the :class:`WholeDataset`, and the loaders for training, validation and test.

    Raises:
        UserError: the file is missing or damaged, has no settings, or does not fit the data.
    """
    stored = load_checkpoint(model_file)
    settings = stored.get("config")
    if not isinstance(settings, dict):
        raise UserError(f"{model_file}: the checkpoint contains no settings, so its data set is not known")
    config = bound(Config.restored(settings))
    dataset = create_dataset(config)
    loaders = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"], config["device"])
    model = get_model(config["model"])(config, loaders[0].dataset).to(config["device"])
    load_weights(model, stored, model_file)
    model.eval()
    return config, model, dataset, *loaders


def unlearn_recbole(
    model: str | None = None,
    dataset: str | None = None,
    config_file_list: Files = None,
    config_dict: Mapping[str, Any] | None = None,
    saved: bool = True,
) -> dict[str, Any]:
    """Unlearn a forget set (a list of interactions to forget) from a trained model and evaluate, as unlearn.py does.

    If there is no trained model (base model) in the folder ``checkpoint_dir`` yet, one is trained first.

    Args:
        model, dataset: the class name of the model and the name of the data set; None for the names in the config files
            or ``config_dict``.
        config_file_list: path or paths of YAML files with settings.
        config_dict: further settings, a dict from name to value, such as ``unlearning_algorithm`` and the
            hyper-parameters of this algorithm. ``sensitive_category`` with ``unlearning_fraction``, or ``forget_set``,
            select the forget set.
        saved: whether the base model, the unlearned models and the logs are kept. If not, they are written to a
            temporary folder.

    Returns:
        The run's record (settings, timing, results), see :func:`~recbole.quick_start.unlearning.unlearn_recbole`; its
            entry ``metrics`` is the result table as a pandas DataFrame.

    Raises:
        UserError: an input or a setting is invalid, or training diverged.
    """
    from recbole.quick_start.api import settings
    from recbole.quick_start.train import run_recbole as train
    from recbole.quick_start.unlearning import unlearn_recbole as unlearn
    from recbole.scenario.known_scenarios import scenario_of
    from recbole.unlearning.registry import hyper_parameters

    def configured() -> Config:
        return settings(model, dataset, config_file_list, given)

    with undisturbed(), tempfile.TemporaryDirectory() as folder:
        given = dict(config_dict or {}) | ({} if saved else {"checkpoint_dir": folder, "log_dir": folder})
        scenario = scenario_of(configured())
        if not configured()["base_checkpoint"] and not scenario.path(scenario.names.base()).exists():
            base = configured()
            for key in ("unlearning_algorithm", *(one.name for one in hyper_parameters())):
                base.get(key)  # marks the key as read: it takes effect below
            train(base)
        record = unlearn(configured())
    import pandas as pd

    return record | {"metrics": pd.DataFrame(record["metrics"])}
