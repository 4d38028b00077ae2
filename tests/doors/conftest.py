"""Fixtures for the tests of `recbole.doors`: a small data set with features in a folder, and quick settings."""

import numpy as np
import pytest

SETTINGS = {
    **{"epochs": 2, "embedding_size": 4, "train_batch_size": 64, "eval_batch_size": 64, "use_gpu": False},
    **{"show_progress": False, "tensorboard": False, "topk": [5], "valid_metric": "MRR@5", "seed": 3, "state": "INFO"},
}


def write(folder, name, rows):
    (folder / name).write_text("\n".join("\t".join(map(str, row)) for row in rows) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """A folder: ``dataset/tiny`` has 20 users with 8 to 12 of 30 items each, and ages, prices and tags."""
    home = tmp_path_factory.mktemp("house")
    data, draw = home / "dataset" / "tiny", np.random.default_rng(4)
    data.mkdir(parents=True)
    rows = [
        (f"u{user}", f"i{item}", draw.integers(1, 6), 100 + at)
        for user in range(20)
        for at, item in enumerate(draw.choice(30, 8 + user % 5, replace=False))
    ]
    write(data, "tiny.inter", [("user_id:token", "item_id:token", "rating:float", "timestamp:float"), *rows])
    write(data, "tiny.user", [("user_id:token", "age:float"), *((f"u{user}", 20 + user) for user in range(20))])
    items = [(f"i{item}", item / 2, f"t{item % 3} t{item % 4}") for item in range(30)]
    write(data, "tiny.item", [("item_id:token", "price:float", "tags:token_seq"), *items])
    return home


@pytest.fixture
def home(house, monkeypatch):
    """The same folder, which is the working directory of the test."""
    monkeypatch.chdir(house)
    return house


@pytest.fixture(scope="session")
def quick():
    """Settings for a training that takes about a second."""
    return SETTINGS
