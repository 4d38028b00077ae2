"""A checkpoint on its own: its settings, its data and its state, read from what the file says of itself."""

from __future__ import annotations

from typing import Any

from recbole.config import Config
from recbole.config.derived import device_settings
from recbole.model import get_model
from recbole.quick_start.setup import Setup, begin
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer.state import Done, State
from recbole.trainer.stored import Stored
from recbole.utils import UserError


def setup_of(
    stored: Stored, data_path: str | None = None, device: str | None = None, forgetting: bool = False
) -> Setup:
    """Return the settings and data that a checkpoint says it is of, what its scenario plants included.

    Args:
        stored: the checkpoint.
        data_path: folder of data sets; the checkpoint's by default.
        device: ``cpu`` or ``cuda:N``; as the checkpoint's settings say by default.
        forgetting: whether the requests are read that it has forgotten, if it has forgotten any.

    Raises:
        UserError: the file does not say its settings, or the data are not those that it was trained on.
    """
    settings, meta = stored.content.get("config"), stored.content.get("meta")
    if not isinstance(settings, dict) or not isinstance(meta, dict):
        raise UserError(f"{stored.path} does not say which settings and data it is of: no file of this program's")
    changes: dict[str, Any] = {"show_progress": False} | ({"data_path": data_path} if data_path else {})
    changes |= device_settings(device, {}) if device else {}
    config = Config.restored(settings, **changes)
    config.bind_model(get_model(config["model"]))
    setup = begin(config, scenario_of(config), forgetting and meta.get("mask") is not None)
    if meta["dataset"] != setup.dataset.log.fingerprint:
        raise UserError(f"{stored.path}: was trained on other data than {config['data_path']} holds")
    return setup


def state_of(setup: Setup, stored: Stored) -> State:
    """Return the state that a checkpoint is of: what its mask covers of the requests.

    Raises:
        UserError: more requests are forgotten in it than there are.
    """
    meta = stored.content["meta"]
    if meta["mask"] is None:
        return setup.base()
    done = Done(meta["mask"]["forget_set_sha256"], meta["mask"]["requests_done"])
    if done.count > len(setup.asked):
        raise UserError(f"{stored.path}: has forgotten {done.count} requests, and there are {len(setup.asked)}")
    checkpoint = max((at for at, size in enumerate(setup.sizes) if size == done.count), default=None)
    forgotten = setup.asked.mask(done.count, len(setup.dataset.log))
    planted = setup.scenario.n_planted
    return State(meta["kind"], setup.dataset, forgotten, done, checkpoint, stored.path, planted)
