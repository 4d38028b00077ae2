"""Restores the settings, the data and the forgotten interactions of a saved model from its checkpoint file."""

from __future__ import annotations

from typing import Any

from recbole.config import Config
from recbole.config.derived import device_settings
from recbole.config.ensembles import settle_ensemble
from recbole.model import get_model
from recbole.quick_start.setup import Setup, begin
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer.state import Done, State
from recbole.trainer.stored import Stored
from recbole.utils import UserError


def setup_of(
    stored: Stored, data_path: str | None = None, device: str | None = None, forgetting: bool = False
) -> Setup:
    """Restore the settings of the run that saved a model, and read its data again, including injected spam.

    Args:
        stored: the content of the model's checkpoint file, which contains the settings.
        data_path: folder of the data sets; None for the folder in these settings.
        device: ``cpu`` or ``cuda:N``; None for the device in these settings.
        forgetting: whether to also read the deletion requests, if the model was retrained or unlearned.

    Raises:
        UserError: the file contains no settings, or the data are not those that the model was trained on.
    """
    settings, meta = stored.content.get("config"), stored.content.get("meta")
    if not isinstance(settings, dict) or not isinstance(meta, dict):
        raise UserError(f"{stored.path} contains no settings; it was not written by this program")
    changes: dict[str, Any] = {"show_progress": False} | ({"data_path": data_path} if data_path else {})
    changes |= device_settings(device, {}) if device else {}
    config = Config.restored(settings, **changes)
    config.bind_model(get_model(config["model"]))
    try:
        settle_ensemble(config, get_model(config["model"]).type)
    except UserError as error:
        raise UserError(f"{stored.path}: {error}") from error
    setup = begin(config, scenario_of(config), forgetting and meta.get("mask") is not None)
    if meta["dataset"] != setup.dataset.log.fingerprint:
        raise UserError(f"{stored.path} was trained on other data than those in {config['data_path']}")
    return setup


def state_of(setup: Setup, stored: Stored) -> State:
    """Return which interactions the model in a checkpoint file has forgotten, and by which deletion requests.

    Args:
        setup: the run's settings, data and requests, from :func:`setup_of`.
        stored: the content of the checkpoint file.

    Raises:
        UserError: according to the file, the model has forgotten more requests than the forget set contains.
    """
    meta = stored.content["meta"]
    if meta["mask"] is None:
        return setup.base()
    done = Done(meta["mask"]["forget_set_sha256"], meta["mask"]["requests_done"])
    if done.count > len(setup.asked):
        raise UserError(f"{stored.path} has forgotten {done.count} requests, but there are only {len(setup.asked)}")
    checkpoint = max((at for at, size in enumerate(setup.sizes) if size == done.count), default=None)
    forgotten = setup.asked.mask(done.count, len(setup.dataset.log))
    planted = setup.scenario.n_planted
    return State(meta["kind"], setup.dataset, forgotten, done, checkpoint, stored.path, planted)
