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
    """Read a data set, filter its interactions, map users and items to ids, and split the interactions.

    Args:
        config: the settings.
        model_type: None, as in RecBole, for the task of the setting ``model``; or the type of the model that will use
            the data, for the command-line programs.

    Returns:
        Without ``model_type`` a :class:`WholeDataset`, whose method ``build()`` returns the training, validation and
        test data, as in RecBole. With ``model_type`` the :class:`~recbole.data.dataset.Dataset` with all three splits
        that the command-line programs use; its attributes with RecBole's names, such as ``inter_num``, refer to the
        training interactions.

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
    """Return the data loaders for training, validation and test.

    Args:
        config: the settings. The key ``mode`` of ``eval_args`` says which items are ranked: ``full`` for all items, or
            for example ``uni100`` for sampled ones.
        dataset: the data, from :func:`create_dataset`.
    """
    bound(config)
    train, valid, test = dataset.build()
    mode = config["eval_args"]["mode"]
    return TrainDataLoader(config, train), _loader(mode["valid"])(config, valid), _loader(mode["test"])(config, test)


def _loader(mode: str) -> type[EvalDataLoader]:
    return FullSortEvalDataLoader if mode == "full" else NegSampleEvalDataLoader


def save_split_dataloaders(config: Config, dataloaders: Loaders) -> None:
    """Raise :class:`NotAvailable`. RecBole's function of this name pickles loaders; this package does not."""
    raise NotAvailable("save_split_dataloaders: loaders cannot be saved; call data_preparation to build them again")


def load_split_dataloaders(config: Config) -> Loaders:
    """Raise :class:`NotAvailable`. RecBole's function of this name unpickles loaders; this package does not."""
    raise NotAvailable("load_split_dataloaders: loaders cannot be loaded; call data_preparation to build them again")
