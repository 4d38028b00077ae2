"""The class :class:`Config`, which holds the settings of a run."""

import copy
import logging
from collections.abc import Callable, Collection, Iterator, KeysView, Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole.config import checks, derived, layers, recbole_keys, unknown
from recbole.config.field_names import check_field_names
from recbole.config.plain import plain, refuse_odd_text
from recbole.config.rules import rule_of
from recbole.config.user_attributes import checked_attributes
from recbole.utils import ModelType, UserError

_DERIVED_KEYS = ("device", "MODEL_TYPE", "MODEL_INPUT_TYPE", "MODEL_TRIMS", "MODEL_READS_ROWS")


class Config:
    """The settings of a run, merged from several places, which are called layers.

    A later layer overrides an earlier one. The layers are, in this order:

    1. the packaged defaults ``properties/overall.yaml``, and for a sequential model ``sequential.yaml``;
    2. ``extra_defaults``;
    3. the packaged defaults of the model, ``properties/model/<Model>.yaml``;
    4. the packaged defaults of the data set, ``properties/dataset/<dataset>.yaml``. A block ``<key>_fields`` in this
       file, such as ``spam_fields``, applies only if the setting ``<key>`` is True;
    5. the user's config files from left to right, ``config_dict``, and the command line.

    The dictionaries ``eval_args`` and ``train_neg_sample_args`` are merged key by key; all other values are replaced as
    a whole. The object remembers which layer set a value (:meth:`source`) and which values were read (:meth:`unread`).

    As in RecBole, ``config["key"]`` is ``None`` for a missing key, and ``config.key`` raises AttributeError.

    Attributes:
        files: paths of the config files, as given.
        undeclared: keys that the user set and for which no packaged file or ``extra_defaults`` has a default.
        warnings: messages about keys without effect, for the caller to log.

    Args:
        model: the model's class name, or the class; ``None`` if a file, ``config_dict`` or the command line names it.
        dataset: the data set's name; ``None`` if a file, ``config_dict`` or the command line names it.
        config_file_list: path or paths of YAML files.
        config_dict: settings, a dict from name to value.
        command_line: settings from the command line, name to value. Text is parsed as YAML. An unknown name is an
            error; a name is known if it occurs in another layer.
        extra_defaults: further settings with their defaults, such as hyper-parameters of unlearning algorithms.
        also_known: further names, such as those of command-line flags, to suggest for a mistyped name.
        only_known: whether an unknown name in ``config_dict`` is an error too. If the model comes from another package,
            unknown names count as its hyper-parameters.

    Raises:
        UserError: a file cannot be read, a name is unknown where this is an error, or a value is invalid.
    """

    __slots__ = (
        *("_asked", "_on_command_line", "_packaged", "_places", "_read", "_sources", "_values"),
        *("files", "undeclared", "warnings"),
    )

    def __init__(
        self,
        model: str | type[Any] | None = None,
        dataset: str | None = None,
        config_file_list: str | Path | Sequence[str | Path] | None = None,
        config_dict: Mapping[str, Any] | None = None,
        command_line: Mapping[str, Any] | None = None,
        *,
        extra_defaults: Mapping[str, Any] | None = None,
        also_known: Collection[str] = (),
        only_known: bool = False,
    ) -> None:
        user = layers.user_layers(config_file_list, config_dict, command_line)
        self.files = [layer.name for layer in user if layer.kind == "file"]
        chosen, _ = layers.merge(user)
        model_class = model if isinstance(model, type) else None
        given = {"model": model_class.__name__ if model_class else model, "dataset": dataset}
        wanted = {kind: name or chosen.get(kind) for kind, name in given.items()}
        for kind, name in wanted.items():
            if not name:
                raise UserError(f"no {kind} is given: set --{kind}")
        names = {kind: str(name) for kind, name in wanted.items()}
        sequential = model_class.type is ModelType.SEQUENTIAL if model_class else layers.is_sequential(names["model"])
        packaged, switched = layers.packaged_layers(names["model"], names["dataset"], extra_defaults, sequential)
        values = layers.merge([*packaged, *user])[0]
        packaged += [layer for switch, layer in switched.items() if values.get(switch) is True]
        self.warnings = _judge_keys(names["model"], packaged, user, also_known, only_known)
        self._values, winners = layers.merge([*packaged, *user])
        self._sources = {key: layer.name for key, layer in winners.items()}
        self._places = {key: layer.where(key) for key, layer in winners.items()}
        self._asked = {key: layer.name for layer in user for key in layer.values}
        self._on_command_line = frozenset(user[-1].values)
        self.undeclared = frozenset(self._asked) - {key for layer in packaged for key in layer.values}
        self._read = {"model", "dataset", "use_gpu", "gpu_id"}
        for kind, name in names.items():
            self._set(kind, name, "program" if given[kind] else self._sources[kind])
        self._packaged = packaged
        self._check(lambda key: winners[key].where(key))
        self._derive(lambda key: winners[key].where(key))
        if model_class:
            self.bind_model(model_class)

    def adopt(self, values: Mapping[str, Any], where: str) -> None:
        """Set values that were stored by another run, such as in a checkpoint file, after the same checks as usual.

        Args:
            values: the settings, name to value.
            where: the file's name, for messages.

        Raises:
            UserError: a value is invalid.
        """
        for key, value in values.items():
            refuse_odd_text(value, f"{key} ({where})")
            self[key] = value
        self._check(lambda key: where if key in values else str(self.where(key)))

    def _check(self, where: Callable[[str], str]) -> None:
        values, packaged = self._values, self._packaged
        defaults, _ = layers.merge(packaged)
        overall, declared = packaged[0].values, {**packaged[1].values, **packaged[0].values}
        ruled = {*overall, *packaged[2].values}
        values["gpu_id"] = "" if values["gpu_id"] is None else str(values["gpu_id"])
        for key, value in values.items():
            if key in defaults:
                default = declared.get(key, defaults[key])
                rule = rule_of(key, packaged[2].values.get(key, default), values["model"]) if key in ruled else None
                values[key] = checks.checked_type(key, value, default, where(key), rule, strict=key in declared)
        checks.check_choices(values, where)
        checks.check_part_of_names(values, self.where)
        values["attributes"] = checked_attributes(values["attributes"], where("attributes"))
        check_field_names(values, where)
        values["topk"] = checks.checked_cutoffs(values["topk"], where("topk"))
        values["metrics"] = checks.checked_metrics(values["metrics"], where("metrics"))
        if isinstance(values["eval_args"], dict):
            values["eval_args"] = {key: values["eval_args"].get(key) for key in unknown.EVAL_KEYS}
        values["eval_args"] = checks.checked_eval_args(values["eval_args"], where("eval_args"))
        key = "train_neg_sample_args"
        values[key] = checks.checked_negatives(values[key], overall[key], where(key))

    def _derive(self, where: Callable[[str], str]) -> None:
        values = self._values
        values["data_path"] = derived.data_folder(values["data_path"], values["dataset"])
        self._set("device", derived.choose_device(values["use_gpu"], values["gpu_id"], where("gpu_id")), "derived")
        if values["valid_metric_bigger"] is None:
            self._set("valid_metric_bigger", derived.is_bigger_better(values["valid_metric"]), "derived")
        values["shuffle"] = False if values["shuffle"] is False else None
        if values["unlearn_sample_selection_seed"] is None:
            self._set("unlearn_sample_selection_seed", values["seed"], "derived")

    def bind_model(self, model_class: type[Any]) -> None:
        """Set the settings that follow from a model's class.

        These are ``MODEL_TYPE``, ``MODEL_INPUT_TYPE``, ``MODEL_TRIMS`` and ``MODEL_READS_ROWS`` (the attributes
        ``type``, ``input_type``, ``trims`` and ``reads_rows`` of the class) and ``repeatable``. For a sequential model
        with ``loss_type: CE``, which is trained without negatives, ``train_neg_sample_args`` becomes None.

        Args:
            model_class: the class.

        Raises:
            UserError: neither the class nor ``loss_type`` gives an input type, or the user set
                ``train_neg_sample_args`` or ``repeatable`` to a value that the model cannot have.
        """
        loss_type = self["loss_type"]
        self._set("MODEL_TYPE", model_class.type, "program")
        self._set("MODEL_INPUT_TYPE", derived.input_type(model_class, loss_type), "program")
        self._set("MODEL_TRIMS", getattr(model_class, "trims", False), "program")
        self._set("MODEL_READS_ROWS", getattr(model_class, "reads_rows", False), "program")
        self._values["repeatable"] = derived.repeatable(self["repeatable"], model_class.type, self.where("repeatable"))
        key = "train_neg_sample_args"
        if loss_type == "CE" and model_class.type is ModelType.SEQUENTIAL and self._values[key] is not None:
            if key in self._asked:
                raise UserError(f"{key} ({self._asked[key]}) should be null: loss_type CE uses all items as negatives")
            self._set(key, None, "derived")

    def _set(self, key: str, value: Any, source: str) -> None:
        self._values[key] = value
        self._sources[key] = self._places[key] = source

    def __getitem__(self, key: str) -> Any:
        return self.get(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default`` if the key is missing. From then on the key counts as read."""
        self._read.add(key)
        return self._values.get(key, default)

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_") or key not in self._values:
            raise AttributeError(f"the configuration has no setting {key!r}")
        return self[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._set(key, value, "program")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> KeysView[str]:
        """Return the names of all settings."""
        return self._values.keys()

    @property
    def on_command_line(self) -> frozenset[str]:
        """The keys that the user set on the command line."""
        return self._on_command_line

    @property
    def asked(self) -> dict[str, str]:
        """Dict from each setting that the user set to the place: a config file, ``config_dict`` or ``command line``."""
        return self._asked

    def source(self, key: str) -> str | None:
        """Return the place that set ``key``, such as ``default: overall.yaml``; ``None`` if the key is missing."""
        return self._sources.get(key)

    def where(self, key: str) -> str | None:
        """Return what :meth:`source` returns, followed by the line number if the place is a config file."""
        return self._places.get(key)

    def unread(self) -> list[tuple[str, str]]:
        """Return (name, place that set it) for each setting that the user set and that no code has read so far."""
        return [(key, source) for key, source in self._asked.items() if key not in self._read]

    def warn_unread(self, logger: logging.Logger, but: Collection[str] = ()) -> None:
        """Log one warning with the settings that the user set and that no code has read, except those in ``but``."""
        if unread := [pair for pair in self.unread() if pair[0] not in but]:
            logger.warning(
                "these settings have no effect in this run: %s",
                ", ".join(f"{key} ({source})" for key, source in unread),
            )

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as plain JSON values, sorted by name, without credentials such as ``hf_token``.

        This does not count as reading them, see :meth:`unread`.
        """
        return plain(self._values)

    def with_values(self, **changes: Any) -> "Config":
        """Return a copy with some values changed. Values that are set in the copy later do not affect this object."""
        other = copy.copy(self)
        other._values, other._sources, other._places = dict(self._values), dict(self._sources), dict(self._places)
        for key, value in changes.items():
            other[key] = value
        return other

    @classmethod
    def restored(cls, stored: Mapping[str, Any], **changes: Any) -> "Config":
        """Return a configuration with the settings that are stored in a checkpoint file.

        The device is chosen again, for this machine. The caller has to call :meth:`bind_model`.

        Args:
            stored: the stored settings, which :meth:`as_dict` returned when the file was written.
            changes: settings that should have other values, such as ``use_gpu=False``.
        """
        values = {key: value for key, value in stored.items() if key not in _DERIVED_KEYS}
        config = cls(config_dict={**values, **changes})
        if "data_path" not in changes:
            config["data_path"] = stored["data_path"]
        config.warnings, config._asked, config._on_command_line = [], {}, frozenset()
        config._sources = {key: "program" if key in changes else "checkpoint" for key in config}
        config._places = dict(config._sources)
        return config

    def __str__(self) -> str:
        return "\n".join(f"{key} = {value!r}  ({self._sources[key]})" for key, value in self.as_dict().items())

    def __repr__(self) -> str:
        return f"<Config {self._values['model']} on {self._values['dataset']}: {len(self)} settings>"


def _judge_keys(
    model: str,
    packaged: Sequence[layers.Layer],
    user: Sequence[layers.Layer],
    also_known: Collection[str],
    only_known: bool,
) -> list[str]:
    """Check the names of the settings that the user gave, and return warnings about those without effect.

    Args:
        model: the model's name.
        packaged: the layers (places with settings) that are part of the program.
        user: the layers that the user wrote, the last of which is the command line.
        also_known: further names to suggest for a mistyped name.
        only_known: whether unknown keys are an error in ``config_dict`` too, unless the model is of another package.

    Raises:
        UserError: a key is unknown where this is an error, or a setting of RecBole is not supported.
    """
    known = {"model", "dataset"}.union(*(layer.values for layer in packaged))
    *written, command_line = user
    drop_in = not layers.has_properties(model)
    for layer in user:
        recbole_keys.refuse(layer, known, drop_in)
    allowed, files = {*recbole_keys.REFUSED, *recbole_keys.HARMLESS} | known, [one.values for one in written[:-1]]
    if only_known and not drop_in:
        unknown.check_names(written[-1], allowed.union(*files), also_known, model)
    unknown.check_names(command_line, allowed.union(*files, written[-1].values), also_known, model)
    lines = [line for layer in written for line in unknown.warnings_for(layer, known, model, drop_in)]
    return lines + [line for layer in user for line in recbole_keys.harmless(layer, known)]
