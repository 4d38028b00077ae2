"""General helpers, such as errors, files, locks and random generators, which all other packages may import.

RecBole's own ``recbole.utils`` functions are loaded from :mod:`recbole.doors` on first use.
"""

from recbole.utils.arguments import OneLineParser, not_empty
from recbole.utils.enum_type import EvaluatorType, FeatureSource, FeatureType, InputType, ModelType
from recbole.utils.errors import NotAvailable, UserError, suggest
from recbole.utils.files import atomic_write, check_replaceable, check_writable, read_json, sha256_of_file, write_json
from recbole.utils.on_demand import from_modules
from recbole.utils.seeds import init_seed, stream, torch_seed

__all__ = [
    "EvaluatorType",
    "FeatureSource",
    "FeatureType",
    "InputType",
    "ModelType",
    "NotAvailable",
    "OneLineParser",
    "UserError",
    "atomic_write",
    "check_replaceable",
    "check_writable",
    "init_seed",
    "not_empty",
    "read_json",
    "sha256_of_file",
    "stream",
    "suggest",
    "torch_seed",
    "write_json",
]

_HELPERS = ("calculate_valid_score", "dict2str", "early_stopping", "ensure_dir", "get_local_time", "set_color")
_NOT_HERE = {
    "KGDataLoaderState": "knowledge-aware recommendation is not available",
    "WandbLogger": "results go to log/, --result_file and TensorBoard, not to Weights & Biases",
    "get_flops": "floating-point operations are not counted; a run's record has its seconds",
    "get_tensorboard": "a run writes log_tensorboard/ by itself, with the setting tensorboard",
    "list_to_latex": "erase-bench report prints tables, and writes CSV",
    **dict.fromkeys(
        ("general_arguments", "training_arguments", "evaluation_arguments", "dataset_arguments"),
        "every setting is a line of recbole/properties/overall.yaml",
    ),
}

__getattr__ = from_modules(
    __name__,
    {
        **dict.fromkeys(_HELPERS, "recbole_helpers"),
        **dict.fromkeys(
            ("get_environment", "get_gpu_usage", "get_model", "get_trainer", "init_logger"), "recbole.doors.utils"
        ),
    },
    _NOT_HERE,
)
