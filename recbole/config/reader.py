"""Safe YAML loading that reads ``1e-4`` as a number and ``None`` as null, as RecBole does."""

import re
from pathlib import Path
from typing import Any

import yaml

from recbole.config.document import composed
from recbole.utils import UserError


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which here also reads ``1e-4`` (without a point) as a number, and ``None`` as null."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("None$"), ["N"])


def read_yaml(path: str | Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Read a YAML file with settings.

    Returns:
        A dict from name to value, and a dict from name to the number of the line, from 1; both empty for an empty file.

    Raises:
        UserError: the file cannot be read, is not valid YAML, is too large or nested too deeply, has a name twice, or
            does not consist of ``key: value`` lines.
    """
    try:
        with open(path, "rb") as file:
            loader = _Loader(file)
            root = composed(loader, str(path))
            values = {} if root is None else loader.construct_document(root)
    except OSError as error:
        raise UserError(f"cannot read the config file {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise UserError(_told_in_one_line(path, error)) from error
    if root is None:
        return {}, {}
    if not isinstance(values, dict):
        raise UserError(f"{path}, line {root.start_mark.line + 1}: a config file should consist of 'key: value' lines")
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in root.value if isinstance(key, yaml.ScalarNode)}
    return {str(key): value for key, value in values.items()}, lines


def parse_value(text: str) -> Any:
    """Convert text from the command line to the value that it has in YAML, such as ``0.5`` to a float.

    Text that is not valid YAML, such as ``[5,inf)``, is returned unchanged, and so is blank text.

    Raises:
        UserError: the value is too large or nested too deeply, or contains a key twice.
    """
    if not text.strip():
        return text
    try:
        loader = _Loader(text)
        root = composed(loader, "command line")
        return None if root is None else loader.construct_document(root)
    except (yaml.YAMLError, ValueError, OverflowError):
        return text


def _told_in_one_line(path: str | Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}, line {mark.line + 1}" if mark else str(path)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{where}: not valid YAML: {problem}"
