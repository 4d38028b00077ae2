"""One module per model, named as the model in lower case."""

from recbole.utils.on_demand import from_lower_case

__getattr__ = from_lower_case(__name__)
