"""The settings of a run: merged from YAML files and the command line, checked, each with the place that set it."""

from recbole.config.configurator import Config

__all__ = ["Config"]
