"""Settings: layers of YAML and command line, checked, each value with the place that it came from."""

from recbole.config.configurator import Config

__all__ = ["Config"]
