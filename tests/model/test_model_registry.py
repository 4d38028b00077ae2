"""Models by name, and the methods that a plain RecBole model inherits from the base class."""

import importlib
import sys
import textwrap

import numpy as np
import pytest
import torch

import recbole.model.general_recommender as folder
from recbole.data import TrainBatches
from recbole.evaluator import mean_utility
from recbole.model import FOLDERS, get_model, model_modules
from recbole.utils import InputType, ModelType, UserError

DROP_IN = '''
    """A model as one would write it for RecBole: it knows nothing of masks."""

    import torch
    from torch import nn

    from recbole.model.abstract_recommender import GeneralRecommender
    from recbole.model.init import xavier_normal_initialization
    from recbole.model.loss import BPRLoss, EmbLoss
    from recbole.utils import InputType


    class ToyMF(GeneralRecommender):
        input_type = InputType.PAIRWISE

        def __init__(self, config, dataset):
            super().__init__(config, dataset)
            self.user_embedding = nn.Embedding(self.n_users, config["embedding_size"])
            self.item_embedding = nn.Embedding(self.n_items, config["embedding_size"])
            self.tied = nn.Linear(config["embedding_size"], self.n_items, bias=False)
            self.tied.weight = self.item_embedding.weight
            self.popularity = torch.from_numpy(dataset.inter_matrix(form="csr").sum(axis=0)).float().view(-1)
            self.register_buffer("degree", torch.as_tensor(dataset.history_item_matrix()[2]))
            self.loss, self.reg_loss = BPRLoss(), EmbLoss()
            self.apply(xavier_normal_initialization)

        def forward(self, user, item):
            return (self.user_embedding(user) * self.item_embedding(item)).sum(-1) + 0.01 * self.popularity[item]

        def calculate_loss(self, interaction):
            user = interaction[self.USER_ID]
            pos, neg = self.forward(user, interaction[self.ITEM_ID]), self.forward(user, interaction[self.NEG_ITEM_ID])
            return self.loss(pos, neg), 0.001 * self.reg_loss(self.user_embedding(user))

        def predict(self, interaction):
            return self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])

        def full_sort_predict(self, interaction):
            scores = self.tied(self.user_embedding(interaction[self.USER_ID])) + 0.01 * self.popularity
            return scores.view(-1)


    class Shrinking(ToyMF):
        def __init__(self, config, dataset):
            super().__init__(config, dataset)
            self.seen = nn.Embedding(dataset.inter_num, 2)
'''


@pytest.fixture
def drop_in(tmp_path, monkeypatch):
    """A function that copies the model's file into a folder of models for one test."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "toymf.py").write_text(textwrap.dedent(DROP_IN))
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path / "models")])
    yield get_model
    sys.modules.pop("recbole.model.general_recommender.toymf", None)


# --- names -----------------------------------------------------------------------------------------------------------
def test_a_model_is_found_by_the_name_of_its_class():
    model = get_model("LightGCN")
    assert model.__name__ == "LightGCN" and model.__module__ == "recbole.model.general_recommender.lightgcn"
    assert model.type is ModelType.GENERAL and model.input_type is InputType.PAIRWISE


def test_listing_models_imports_none_and_every_module_has_its_class():
    modules = model_modules()
    assert {path.split(".")[2] for path in modules.values()} <= set(FOLDERS)
    assert {"bpr", "lightgcn", "pop", "random"} <= set(modules)
    assert modules["bpr"] == "recbole.model.general_recommender.bpr"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LigthGCN", "there is no model 'LigthGCN', did you mean 'LightGCN'?"),
        ("bpr", "there is no model 'bpr', did you mean 'BPR'?"),
        ("Popp", "there is no model 'Popp', did you mean 'Pop'?"),
        ("abstract_recommender", "there is no model 'abstract_recommender'"),
        ("../x", "there is no model '../x'"),
    ],
)
def test_an_unknown_model_is_rejected_with_a_suggestion(name, hint):
    with pytest.raises(UserError) as caught:
        get_model(name)
    assert str(caught.value).startswith(f"--model: {hint}")


# --- a plain RecBole model -------------------------------------------------------------------------------------------
def built(name, dataset):
    torch.manual_seed(3)
    return get_model(name)(dataset.config, dataset)


def test_a_recbole_model_runs_when_its_file_is_dropped_in(drop_in, small_dataset):
    assert "toymf" in model_modules()
    model = built("ToyMF", small_dataset)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    batches = TrainBatches(small_dataset.config, small_dataset, model.input_type)
    losses = []
    for epoch in range(15):
        for batch in batches.epoch(epoch):
            optimizer.zero_grad()
            loss = model.loss_sum(batch) / len(batch)
            assert torch.equal(loss, sum(model.calculate_loss(batch)) * len(batch) / len(batch))
            loss.backward()
            optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert 0 < mean_utility(model, small_dataset.eval_rows("test"), small_dataset.config)["hit@20"] <= 1
    assert model.other_parameter() is None and "Trainable parameters: 264" in str(model)


def test_cached_embeddings_of_old_parameters_are_not_used(drop_in, small_dataset):
    """RecBole's graph models cache embeddings in an evaluation, and discard them only in the next training batch."""
    model = built("ToyMF", small_dataset)
    model.other_parameter_name = ["restore_score", "part"]
    model.restore_score, model.part = None, torch.nn.Linear(1, 1)
    plain = model.full_sort_predict

    def remembering(interaction):
        if model.restore_score is None:
            model.restore_score = plain(interaction)
        return model.restore_score

    model.full_sort_predict = remembering
    rows = small_dataset.eval_rows("test")
    first = mean_utility(model, rows, small_dataset.config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    assert model.restore_score is not None and model.other_parameter() is None
    assert mean_utility(model, rows, small_dataset.config) != first
    assert isinstance(model.part, torch.nn.Linear)


def test_the_default_rebuild_recomputes_derived_state_and_keeps_parameters(drop_in, small_dataset):
    model = built("ToyMF", small_dataset).eval().double()
    trained = {name: value.detach().clone() for name, value in model.named_parameters()}
    masked = small_dataset.masked(np.arange(len(small_dataset.log)) % 2 == 0)
    state = torch.get_rng_state()
    model.rebuild(masked)
    assert torch.equal(torch.get_rng_state(), state), "rebuilding does not use the global random generator"
    counts = np.bincount(masked.log.item[masked.train_rows], minlength=41)
    assert model.popularity.tolist() == counts.tolist()
    assert model.degree.tolist() == np.bincount(masked.log.user[masked.train_rows], minlength=25).tolist()
    found = dict(model.named_parameters())
    assert set(found) == set(trained) and all(torch.equal(found[name], trained[name]) for name in trained)
    assert all(value.dtype == torch.float64 and value.requires_grad for value in found.values())
    assert model.tied.weight is model.item_embedding.weight and not model.training
    model.rebuild(small_dataset)
    assert model.popularity.sum() == small_dataset.inter_num


def test_a_model_whose_parameters_do_not_fit_the_reduced_data_gives_a_one_line_error(drop_in, small_dataset):
    module = importlib.import_module(drop_in("ToyMF").__module__)
    model = module.Shrinking(small_dataset.config, small_dataset)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    with pytest.raises(UserError, match=r"Shrinking cannot be built on the retained data: .*seen\.weight") as caught:
        model.rebuild(small_dataset.masked(np.arange(len(small_dataset.log)) % 2 == 0))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters()), "the model is unchanged"
