"""RecBole's functions that create data sets and loaders."""

from __future__ import annotations

from typing import Any

from recbole.config import Config
from recbole.data import dataset as rooms
from recbole.doors.binding import bound
from recbole.doors.loaders import EvalDataLoader, FullSortEvalDataLoader, TrainDataLoader
from recbole.doors.sampled_loader import NegSampleEvalDataLoader
from recbole.doors.transforms import construct_transform
from recbole.doors.whole import WholeDataset
from recbole.utils import ModelType, NotAvailable

Loaders = tuple[TrainDataLoader, EvalDataLoader, EvalDataLoader]


def create_dataset(config: Config, model_type: ModelType | None = None) -> Any:
    """Read, filter, number and split a data set.

    Args:
        config: the settings.
        model_type: None to return a :class:`WholeDataset`, as in RecBole; its ``build()`` returns the three splits. A
            type to return the :class:`~recbole.data.dataset.Dataset` of the type's task, whose RecBole attributes
            describe the training rows.

    Raises:
        UserError: a file or a setting is invalid.
    """
    data = rooms.create_dataset(bound(config) if model_type is None else config, model_type)
    if model_type is not None:
        return data
    if config.get("transform") is not None:
        data.transform = construct_transform(config)
    return WholeDataset(data)


def data_preparation(config: Config, dataset: WholeDataset) -> Loaders:
    """Return the loaders for training, validation and test.

    The setting ``eval_args`` selects the candidates of the evaluation with its key ``mode``.
    """
    bound(config)
    train, valid, test = dataset.build()
    mode = config["eval_args"]["mode"]
    return TrainDataLoader(config, train), _loader(mode["valid"])(config, valid), _loader(mode["test"])(config, test)


def _loader(mode: str) -> type[EvalDataLoader]:
    return FullSortEvalDataLoader if mode == "full" else NegSampleEvalDataLoader


def save_split_dataloaders(config: Config, dataloaders: Loaders) -> None:
    """Raise :class:`NotAvailable`: RecBole pickles its loaders, this package does not."""
    raise NotAvailable("save_split_dataloaders: loaders cannot be saved; call data_preparation to build them again")


def load_split_dataloaders(config: Config) -> Loaders:
    """Raise :class:`NotAvailable`: RecBole unpickles its loaders, this package does not."""
    raise NotAvailable("load_split_dataloaders: loaders cannot be loaded; call data_preparation to build them again")
