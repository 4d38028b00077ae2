"""The settings of a run: merged from YAML files and the command line, and checked.

For each setting, the name of the file (or other place) that set its value is remembered for messages.
"""

from recbole.config.configurator import Config

__all__ = ["Config"]
