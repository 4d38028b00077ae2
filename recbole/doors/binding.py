"""Completes settings with those that follow from the model's class."""

from recbole.config import Config
from recbole.model import get_model


def bound(config: Config) -> Config:
    """Call ``config.bind_model`` with the class of the setting ``model``, unless that was done; return ``config``.

    Malformed lines in data files are then skipped, as in RecBole, unless the user set ``bad_lines``.

    Raises:
        UserError: there is no such model, or its class contradicts the settings.
    """
    if config["MODEL_TYPE"] is None:
        config.bind_model(get_model(config["model"]))
    if "bad_lines" not in config.asked:
        config["bad_lines"] = "leave_out"
    return config
