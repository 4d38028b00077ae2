"""Fixtures with small trained models of every task ("worlds"), and requests against them."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from recbole.data import create_dataset
from recbole.data.dataset import Given
from recbole.data.split import TRAIN
from recbole.model import get_model
from recbole.trainer import TrainingLoop
from recbole.unlearning.registry import get_algorithm, hyper_parameters
from recbole.unlearning.request import Requests
from recbole.utils import ModelType, init_seed

USERS = (9, 12, 15, 18, 21, 23)
MODELS = ("BPR", "LightGCN", "GRU4Rec", "DNNTSP")
SESSIONS = [[(7 * user + 3 * at + at * at % 5) % 39 + 1 for at in range(4 + user % 9)] for user in range(24)]


class World:
    """A small trained model and requests against it; every :meth:`start` uses a fresh copy."""

    def __init__(self, config, dataset):
        self.config, self.dataset = config, dataset
        config["epochs"], config["learning_rate"], config["train_batch_size"] = 15, 0.01, 64
        init_seed(5)
        model = get_model(config["model"])(config, dataset)
        TrainingLoop(config, model, dataset).fit()
        self.state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        rows = [np.flatnonzero((dataset.log.user == user) & (dataset.log.split == TRAIN))[1:3] for user in USERS]
        offsets = np.cumsum([0, *map(len, rows)])
        names = [str(user) for user in USERS]
        self.requests = Requests(names, np.concatenate(rows), offsets, np.ones(len(USERS), dtype=bool), 0, "sha")

    def data(self):
        return self.dataset.masked(np.zeros(len(self.dataset.log), dtype=bool))

    def start(self, name, data=None, device=None, **hyper):
        """Return an algorithm on a fresh copy of the model and, unless given, of the data."""
        values = {parameter.name: parameter.default for parameter in hyper_parameters()} | hyper
        for key, value in values.items():
            self.config[key] = value
        device = device or os.environ.get("ERASE_TEST_DEVICE", "cpu")
        self.config["device"] = torch.device(device)
        data = self.data() if data is None else data
        model = get_model(self.config["model"])(self.config, data).to(device)
        model.load_state_dict(self.state)
        return get_algorithm(name)(self.config, model, data)


SMALL = {
    **{"embedding_size": 4, "hidden_size": 6, "inner_size": 8, "n_layers": 2, "n_heads": 2, "num_layers": 1},
    **{"mf_embedding_size": 4, "mlp_embedding_size": 4, "mlp_hidden_size": [4], "dropout_prob": 0.3},
    **{"teacher_epochs": 1, "soft_samples": 50, "n_intents": 3, "MAX_NBR_HISTORY_BASKETS": 7},
    **{"use_gpu": False, "show_progress": False, "tensorboard": False},
    **{"metrics": ["Recall"], "topk": [5], "valid_metric": "Recall@5"},
}


@pytest.fixture(scope="session")
def worlds(tmp_path_factory, config, sessions, small_dataset):
    """A function: ``worlds(model)`` returns the world of a model, which is trained once."""
    made, folder = {}, tmp_path_factory.mktemp("worlds")
    walks = {user: session + session[::-1] for user, session in enumerate(SESSIONS)}
    baskets = {user: [walk[at : at + 2] for at in range(len(walk) - 1)] for user, walk in walks.items()}
    (folder / "small").mkdir()
    (folder / "small/small_merged.json").write_text(json.dumps(baskets))

    def get(model):
        if model not in made:
            cls = get_model(model)
            if cls.type is ModelType.SEQUENTIAL:
                data = sessions(SESSIONS, model=model, **SMALL)
            else:
                where = folder if cls.type is ModelType.NEXT_BASKET else Path(small_dataset.config["data_path"]).parent
                conf = config(where, model=model, **SMALL)
                conf.bind_model(cls)
                data = create_dataset(conf, cls.type)
            made[model] = World(data.config, data)
        return made[model]

    return get


def trained(config, data, epochs=3, build=None):
    """Return a model trained from the configured seed, its dropout and negatives included; ``build`` makes it."""
    before = config["epochs"]
    config["epochs"] = epochs
    init_seed(config["seed"])
    model = (build or get_model(config["model"]))(config, data)
    TrainingLoop(config, model, data).fit()
    config["epochs"] = before
    return model


def replaced(data, mask):
    """Return the data under a mask, with other items and other columns in the forgotten rows."""
    log, rows = data.log, np.flatnonzero(mask)
    item = log.item.copy()
    item[rows] = item[rows] % (len(log.vocabulary["item"]) - 1) + 1
    other = type(data)(data.config, replace(log, item=item))
    return other.masked(mask)


def removed(data, mask):
    """Return the data without the rows of a mask; ids, labels and the numbers of examples are kept."""
    log, kept = data.log, ~mask
    columns = {name: values[kept] for name, values in log.columns.items()}
    offsets = np.concatenate([[0], np.cumsum(np.bincount(log.user[kept], minlength=len(log.offsets) - 1))])
    less = replace(
        log, user=log.user[kept], item=log.item[kept], split=log.split[kept], columns=columns, offsets=offsets
    )
    other, left = type(data)(data.config, less), data.masked(mask).train_examples()
    other.given = Given(other.train_examples(), data.given.numbers_of(left), data.given.count)
    return other


def poisoned(data, folder):
    """Return the data with the rows of three fake users appended, read from a file."""
    items = data.log.vocabulary["item"].token_array[1:].to_pylist()
    fake = {f"fake{at}": [items[(5 * at + 3 * step) % len(items)] for step in range(6 + at)] for at in range(3)}
    if data.task_type == "NBR":
        path = folder / "fake.json"
        path.write_text(json.dumps({user: [[int(item)] for item in row] for user, row in fake.items()}))
        return data.with_spam(path)
    path = folder / "fake.inter"
    columns = [f"{name}:float" for name in data.log.columns]
    fields = "\t".join([f"{data.uid_field}:token", f"{data.iid_field}:token", *columns]) + "\n"
    rows = [
        "\t".join([user, item, *(str(at % 5) for _ in columns)]) + "\n"
        for user, row in fake.items()
        for at, item in enumerate(row)
    ]
    path.write_text(fields + "".join(rows))
    data.config["load_col"] = {"inter": [data.uid_field, data.iid_field, *data.log.columns]}
    return data.with_spam(path)


def weights(model):
    return {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}


def known(model):
    """Return the whole state of a model by name: weights, closed-form arrays, and hidden pairs."""
    arrays = {f"learned {at}": array for at, array in enumerate(model.learned() or ())}
    dense = {
        n: torch.from_numpy(a.toarray()) if scipy.sparse.issparse(a) else a.cpu().clone() for n, a in arrays.items()
    }
    return weights(model) | dense | ({} if model.hidden_pairs is None else {"hidden": model.hidden_pairs})


def same(one, other):
    """Return whether two dictionaries have equal tensors for the keys of the first one."""
    return all(torch.equal(one[name].nan_to_num(7.0), other[name].nan_to_num(7.0)) for name in one)
