"""Session-based models: one module per model, with the model's name in lower case."""

from recbole.utils.on_demand import from_lower_case

__getattr__ = from_lower_case(__name__)
