"""A model from another installed distribution: one file, without changes to this package."""

import pytest
from toy_distribution import install, python

from recbole.model import get_model
from recbole.utils import UserError, plugins

TOY = '''
import torch
from torch import nn

from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.loss import BPRLoss
from recbole.utils import InputType


class Dots(GeneralRecommender):
    """A factor model as one would write it for RecBole."""

    input_type = InputType.PAIRWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.user_embedding = nn.Embedding(self.n_users, 4)
        self.item_embedding = nn.Embedding(self.n_items, 4)
        self.loss = BPRLoss()

    def forward(self, user, item):
        return (self.user_embedding(user) * self.item_embedding(item)).sum(-1)

    def calculate_loss(self, interaction):
        user, right, wrong = (interaction[key] for key in (self.USER_ID, self.ITEM_ID, self.NEG_ITEM_ID))
        return self.loss(self.forward(user, right), self.forward(user, wrong))

    def predict(self, interaction):
        return self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])

    def full_sort_predict(self, interaction):
        return (self.user_embedding(interaction[self.USER_ID]) @ self.item_embedding.weight.T).view(-1)


class BPR(Dots):
    """Takes a name that is taken."""
'''
CONTRACT = """
import sys
sys.path[:0] = [{tests!r}, {here!r}]

from model_contract import ModelContract
from small_worlds import worlds


class TestDots(ModelContract):
    model = "Dots"
"""
RUN = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest")


def test_an_external_model_trains_from_the_command_line_and_satisfies_the_contract(tmp_path, write_inter, request):
    site = tmp_path / "site"
    site.mkdir()
    (site / "toy_model.py").write_text(TOY)
    install(site, plugins.MODELS, {"Dots": "toy_model:Dots"})
    rows = [(f"u{user}", f"i{(3 * user + at) % 20}", at) for user in range(20) for at in range(8)]
    write_inter(tmp_path / "dataset", rows, dataset="tiny")
    root = request.config.rootpath
    (tmp_path / "s.yaml").write_text(
        "epochs: 1\nuse_gpu: False\ntensorboard: False\nload_col: {inter: [user_id, item_id]}"
    )
    words = (root / "run_recbole.py", "--model", "Dots", "--dataset", "tiny", "--config_files", "s.yaml")
    done = python(site, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "saved" / "model_Dots_seed_2_dataset_tiny_best.pth").is_file()
    (tmp_path / "test_dots.py").write_text(CONTRACT.format(tests=str(root / "tests"), here=str(root / "tests/model")))
    done = python(site, *RUN, tmp_path / "test_dots.py", cwd=root / "tests")
    assert done.returncode == 0 and " passed" in done.stdout + done.stderr, done.stdout


def test_an_invalid_external_model_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "toy_model.py").write_text(TOY)
    install(tmp_path, plugins.MODELS, {"Spots": "toy_model:Dots", "Thing": "toy_model:torch"})
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("Spots", "Thing"):
        with pytest.raises(UserError, match=f"the entry point '{name}' loads .*, not a model class of that name"):
            get_model(name)
    with pytest.raises(UserError, match="there is no model 'Spot', did you mean 'Spots'"):
        get_model("Spot")
    install(tmp_path, plugins.MODELS, {"BPR": "toy_model:BPR"}, "more")
    with pytest.raises(UserError, match=r"more offers erase_bench\.models 'BPR', which this package has"):
        get_model("Spots")
