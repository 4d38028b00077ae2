"""Helpers without knowledge of recommendation; every other room may import from here."""

from recbole.utils.arguments import OneLineParser
from recbole.utils.enum_type import EvaluatorType, FeatureSource, FeatureType, InputType, ModelType
from recbole.utils.errors import UserError, suggest
from recbole.utils.files import atomic_write, check_replaceable, check_writable, read_json, sha256_of_file, write_json
from recbole.utils.seeds import init_seed, stream, torch_seed

__all__ = [
    "EvaluatorType",
    "FeatureSource",
    "FeatureType",
    "InputType",
    "ModelType",
    "OneLineParser",
    "UserError",
    "atomic_write",
    "check_replaceable",
    "check_writable",
    "init_seed",
    "read_json",
    "sha256_of_file",
    "stream",
    "suggest",
    "torch_seed",
    "write_json",
]
