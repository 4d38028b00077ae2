"""Binds settings to the model class that they name."""

from recbole.config import Config
from recbole.model import get_model


def bound(config: Config) -> Config:
    """Return the settings bound to their model's class; settings that are bound already are returned as they are.

    Malformed lines in data files are skipped, as in RecBole, unless the setting ``bad_lines`` says otherwise.

    Raises:
        UserError: there is no such model, or its class contradicts the settings.
    """
    if config["MODEL_TYPE"] is None:
        config.bind_model(get_model(config["model"]))
    if "bad_lines" not in config.asked:
        config["bad_lines"] = "leave_out"
    return config
