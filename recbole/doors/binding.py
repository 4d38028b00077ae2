"""Completes the settings of a script that uses RecBole's functions."""

from recbole.config import Config
from recbole.model import get_model


def bound(config: Config) -> Config:
    """Complete settings in place, and return them.

    The settings that follow from the model's class, such as ``MODEL_TYPE``, are set unless they are set already. And
    malformed lines in data files are skipped, as in RecBole, unless the user set ``bad_lines``.

    Args:
        config: the settings; ``model`` names the model's class.

    Raises:
        UserError: there is no such model, or a setting has a value that the model cannot have.
    """
    if config["MODEL_TYPE"] is None:
        config.bind_model(get_model(config["model"]))
    if "bad_lines" not in config.asked:
        config["bad_lines"] = "leave_out"
    return config
