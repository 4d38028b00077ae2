"""Settings of a run, merged from YAML files and the command line, checked, each with the place it was set."""

from recbole.config.configurator import Config

__all__ = ["Config"]
