"""Settings that know their model's class."""

from recbole.config import Config
from recbole.model import get_model


def bound(config: Config) -> Config:
    """Return the settings, bound to their model's class; those that are bound already stay as they are.

    Lines of the data's files are read as RecBole reads them, unless ``bad_lines`` is set.

    Raises:
        UserError: there is no such model, or its class does not go with the settings.
    """
    if config["MODEL_TYPE"] is None:
        config.bind_model(get_model(config["model"]))
    if "bad_lines" not in config.asked:
        config["bad_lines"] = "leave_out"
    return config
