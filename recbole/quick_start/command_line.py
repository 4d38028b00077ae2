"""Parsing of the command lines of ``run_recbole.py`` and ``unlearn.py``.

A flag on the command line sets the configuration key of the same name and overrides every YAML file. A flag that is
not on the command line leaves the value of the files (in ERASE the flag's default replaced it). A ``--name`` that is no
flag sets the configuration key ``name``: ``--learning_rate 0.01`` and ``--learning_rate=0.01`` are equivalent, and
``--show_progress`` alone means True. Whether the key exists is checked later, by ``Config``::

    namespace, overrides = train_arguments(sys.argv[1:])
    config = Config(
        namespace.model,
        namespace.dataset,
        namespace.config_files,
        command_line={**config_values(namespace), **overrides},
        extra_defaults=declared_defaults(namespace),
        also_known=namespace.flag_names,
    )

In addition to the flags, the namespace has these attributes:

- ``ignored``: the names of the flags of ERASE on the command line that have no effect here.
- ``given``: a dict from each configuration key that a flag on the command line sets to its value.
- ``own_defaults``: a dict from configuration keys to the defaults of flags that overall.yaml does not contain.
- ``flag_names``: the names of all flags.
"""

import argparse
import importlib
import os
from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from recbole.config.derived import device_settings
from recbole.config.layers import packaged
from recbole.config.plain import is_secret
from recbole.quick_start import flags
from recbole.utils import OneLineParser, UserError
from recbole.utils.flag import Flag

_UNSET = object()
Groups = Mapping[str, Sequence[Flag]]
Parsed = tuple[argparse.Namespace, dict[str, Any]]

_TRAIN_EXAMPLES = """examples (MovieLens 100K: python dataset/ml-100k/prepare.py):
  # train BPR
  python run_recbole.py --model BPR --dataset ml-100k --config_files configs/config_bpr.yaml
  # retrain without the interactions that are forgotten by the last checkpoint
  python run_recbole.py --model BPR --dataset ml-100k --config_files configs/config_bpr.yaml \\
      --sensitive_category horror --unlearning_fraction 0.001 --retrain_checkpoint_idx_to_match 3
  # evaluate a saved model; any configuration key can be given the same way
  python run_recbole.py --model BPR --dataset ml-100k --config_files configs/config_bpr.yaml \\
      --eval_only --eval_batch_size=512
  # train with a spam attack in the data
  python make_forget_set.py --dataset ml-100k --spam --unlearning_fraction 0.01 --n_target_items 10
  python run_recbole.py --model BPR --dataset ml-100k --config_files configs/config_bpr.yaml \\
      --spam --unlearning_fraction 0.01 --n_target_items 10
"""
_UNLEARN_EXAMPLES = """examples (after those of run_recbole.py --help):
  # forget the horror interactions of the requesting users, one user after another
  python unlearn.py --model BPR --dataset ml-100k --config_files configs/config_bpr.yaml \\
      --sensitive_category horror --unlearning_fraction 0.001 --unlearning_algorithm scif
  # evaluate the four unlearned checkpoints again
  python unlearn.py --model BPR --dataset ml-100k --config_files configs/config_bpr.yaml \\
      --sensitive_category horror --unlearning_fraction 0.001 --unlearning_algorithm scif --eval_only
  # remove the spam attack, ten fake users at a time
  python unlearn.py --model BPR --dataset ml-100k --config_files configs/config_bpr.yaml \\
      --spam --unlearning_fraction 0.01 --n_target_items 10 --unlearning_algorithm scif --unlearning_batchsize 10
"""


def train_arguments(argv: list[str], program: str = "run_recbole.py") -> Parsed:
    """Parse the arguments of ``run_recbole.py``.

    Args:
        argv: the arguments without the program's name.
        program: the program's name in help and messages.

    Returns:
        A namespace with the flags (see the module's docstring), and a dict from the other configuration keys on the
        command line to their values: text, or True for ``--key`` without a value.

    Raises:
        UserError: an argument is neither a flag, a configuration key nor a value, or is a flag of ERASE that is not
            available here.
        SystemExit: status 2 after one line of error for a flag with an invalid value, 0 after ``--help``.
    """
    about = "Train a recommender, or retrain it without the forgotten interactions, and evaluate it."
    groups = flags.train_flags()
    parser = _parser(program, about, groups, _TRAIN_EXAMPLES)
    return _parse(parser, groups, flags.TRAIN_DEAD, argv)


def unlearn_arguments(argv: list[str], registry: Any = None, program: str = "unlearn.py") -> Parsed:
    """Parse the arguments of ``unlearn.py``.

    Args:
        argv: the arguments without the program's name.
        registry: an object with the functions ``algorithm_names`` and ``hyper_parameters``, which say which algorithms
            and hyper-parameters are accepted; None for the module ``recbole.unlearning.registry``.
        program: the program's name in help and messages.

    Returns:
        A namespace with the flags (see the module's docstring), and a dict from the other configuration keys on the
        command line to their values: text, or True for ``--key`` without a value. The dict also has the
        hyper-parameters of algorithms that are on the command line, converted to their types.

    Raises:
        UserError: an argument is neither a flag, a configuration key nor a value, or is a flag of ERASE that is not
            available here.
        SystemExit: status 2 after one line of error for a flag with an invalid value, 0 after ``--help``.
    """
    registry = registry or _registry()
    groups = flags.unlearn_flags(registry.algorithm_names())
    tuned = _hyper_parameter_flags(registry.hyper_parameters())
    about = "Process deletion requests with an unlearning algorithm, save four checkpoints and evaluate them."
    parser = _parser(program, about, {**groups, **tuned}, _UNLEARN_EXAMPLES)
    namespace, overrides = _parse(parser, {**groups, **tuned}, flags.UNLEARN_DEAD, argv)
    given = {flag.name: getattr(namespace, flag.name) for group in tuned.values() for flag in group}
    overrides.update((name, value) for name, value in given.items() if value is not None)
    return namespace, overrides


def config_values(namespace: argparse.Namespace) -> dict[str, Any]:
    """Return a dict from each configuration key that a flag on the command line sets to its value.

    Args:
        namespace: the flags, from :func:`train_arguments` or :func:`unlearn_arguments`.
    """
    return dict(namespace.given)


def declared_defaults(namespace: argparse.Namespace, registry: Any = None) -> dict[str, Any]:
    """Return the default values that the packaged file overall.yaml does not contain: configuration key to value.

    These are the defaults of the hyper-parameters of all unlearning algorithms. In addition, the defaults of flags that
    are not on the command line, if overall.yaml has no such key or another value.

    Args:
        namespace: the flags, from :func:`train_arguments` or :func:`unlearn_arguments`.
        registry: as for :func:`unlearn_arguments`.
    """
    tuned = (registry or _registry()).hyper_parameters()
    typed = {h.name: None if h.default is None else h.type(h.default) for h in tuned}
    return {**typed, **namespace.own_defaults}


def without_secrets(argv: list[str]) -> list[str]:
    """Return a copy of the arguments in which the values of credentials, such as ``--hf_token``, are ``***``."""
    shown, hide = [], False
    for token in argv:
        name, equals, _ = token.partition("=")
        secret = token.startswith("--") and is_secret(name)
        shown.append("***" if hide and not token.startswith("--") else f"{name}=***" if secret and equals else token)
        hide = secret and not equals
    return shown


def _registry() -> Any:
    return importlib.import_module("recbole.unlearning.registry")


def _hyper_parameter_flags(hyper_parameters: Iterable[Any]) -> Groups:
    groups: dict[str, list[Flag]] = {}
    for h in hyper_parameters:
        if h.name not in {flag.name for group in groups.values() for flag in group}:
            default = "" if h.default is None else f" (default: {h.default})"
            flag = Flag(h.name, h.type, f"{h.help}{default}", key=None)
            groups.setdefault(f"hyper-parameters of {', '.join(h.algorithms)}", []).append(flag)
    return groups


def _parser(program: str, about: str, groups: Groups, examples: str) -> OneLineParser:
    parser = OneLineParser(
        prog=program,
        description=f"{about} Any configuration key can be set as --key value or --key=value.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for title, members in groups.items():
        group = parser.add_argument_group(title)
        for flag in members:
            flag.add_to(group)
    return parser


def _parse(parser: OneLineParser, groups: Groups, dead: frozenset[str], argv: list[str]) -> Parsed:
    known = {flag.name: flag for members in groups.values() for flag in members}
    for_flags, others = _split(argv, known)
    namespace, stray = parser.parse_known_args(for_flags, argparse.Namespace(**dict.fromkeys(known, _UNSET)))
    if stray:
        raise _stray(stray[0])
    namespace.ignored = [name for name in others if name in dead]
    overrides = {name: value for name, value in others.items() if name not in dead}
    for name in overrides:
        flags.refuse_if_later(name)
    _settle(namespace, known)
    if namespace.device is not None:
        overrides.update(device_settings(namespace.device, namespace.given | overrides))
    return namespace, overrides


def _split(argv: list[str], known: Container[str]) -> tuple[list[str], dict[str, Any]]:
    """Divide a command line into the arguments of flags and those that set other configuration keys.

    Args:
        argv: the arguments.
        known: the names of the flags, without dashes.

    Returns:
        The arguments of flags, as a list for argparse, and a dict from every other ``--name`` (without dashes) to its
        value: text, or True without a value.

    Raises:
        UserError: an argument without dashes does not follow a flag, or an argument is ``--`` alone.
    """
    for_flags, others = [], {}
    tokens, in_flag = deque(argv), False
    while tokens:
        token = tokens.popleft()
        name, equals, value = token[2:].partition("=")
        if not token.startswith("--"):
            if not in_flag and not token.startswith("-"):
                raise _stray(token)
            in_flag = True
            for_flags.append(token)
        elif name in known or name == "help":
            in_flag = True
            negative = not equals and tokens and _is_negative_number(tokens[0])
            for_flags.append(f"{token}={tokens.popleft()}" if negative else token)
        elif not name:
            raise _stray(token)
        else:
            in_flag = False
            follows = tokens and (not tokens[0].startswith("-") or _is_negative_number(tokens[0]))
            others[name] = value if equals else tokens.popleft() if follows else True
    return for_flags, others


def _is_negative_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return token.startswith("-")


def _stray(token: str) -> UserError:
    return UserError(f"unexpected {token!r} on the command line; write settings as --key value or --key=value")


def _settle(namespace: argparse.Namespace, known: dict[str, Flag]) -> None:
    """Complete a namespace from argparse, in place.

    Flags that are not on the command line get their defaults. The attributes ``given``, ``own_defaults`` and
    ``flag_names`` are added, which the module's docstring describes.

    Args:
        namespace: the flags; those that are not on the command line have the value ``_UNSET``.
        known: dict from the name of a flag to the flag.
    """
    given = [name for name in known if getattr(namespace, name) is not _UNSET]
    for name in set(known).difference(given):
        setattr(namespace, name, known[name].default)
    namespace.config_files = _file_names(namespace.config_files or [])
    namespace.topk = [k for part in namespace.topk for k in part] if "topk" in given else list(namespace.topk)
    namespace.metrics = [name for part in namespace.metrics or [] for name in part]
    settings = [(flag.key, name, flag) for name, flag in known.items() if flag.key is not None]
    namespace.given = {key: f.setting(getattr(namespace, name)) for key, name, f in settings if name in given}
    overall = packaged("overall.yaml").values
    defaults = [(key, name, f.setting(f.default)) for key, name, f in settings]
    own = {
        key: value for key, name, value in defaults if key not in overall or (name not in given and value is not None)
    }
    namespace.own_defaults = {key: value for key, value in own.items() if overall.get(key) != value}
    namespace.flag_names = frozenset(known)


def _file_names(words: list[str]) -> list[str]:
    """Return the file names in arguments: an argument that is no existing file is split at spaces, as in ERASE."""
    return [name for word in words for name in ([word] if os.path.exists(word) else word.split())]
