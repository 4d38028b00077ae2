"""User representations of a model ("views"), which attacks read and attribute unlearning changes."""

import pytest
import torch

from recbole.model import get_model

VIEWS = {
    "BPR": ["table"],
    "WMF": ["table"],
    "NeuMF": ["gmf", "mlp"],
    "LightGCN": ["table", "propagated"],
    "SimRec": ["table", "features"],
    "DNNTSP": ["summary"],
    "Sets2Sets": ["state"],
    "GRU4Rec": [],
    "EASE": [],
    "GPTopFreq": [],
}


@pytest.fixture
def built(worlds):
    """A function: ``built(model)`` returns a model in evaluation mode and its data."""

    def make(name, **settings):
        world = worlds("LightGCN" if name in ("BPR", "WMF", "NeuMF", "SimRec", "EASE") else name)
        config, data = world.config, world.data()
        before = {key: config[key] for key in settings}
        for key, value in settings.items():
            config[key] = value
        torch.manual_seed(1)
        try:
            return get_model(name)(config, data).eval(), data
        finally:
            for key, value in before.items():
                config[key] = value

    return make


EXTRA = {
    "WMF": {"negative_weight": 0.2, "train_neg_sample_args": None},
    "NeuMF": {"mf_train": True, "mlp_train": True, "use_pretrain": False},
    "EASE": {"reg_weight": 10.0},
}


@pytest.mark.parametrize("name", VIEWS)
def test_each_model_lists_its_user_views(built, name):
    model, data = built(name, **EXTRA.get(name, {}))
    views = model.user_views(data)
    assert list(views) == VIEWS[name]
    for view in views.values():
        matrix = view.vectors()
        assert matrix.shape[0] == data.n_users
        assert view.table == (matrix is model.get_parameter(view.parameters[0]))
        gradients = torch.autograd.grad(matrix[1:].square().sum(), [model.get_parameter(p) for p in view.parameters])
        assert all(bool(g.isfinite().all()) and bool((g != 0).any()) for g in gradients)
        assert torch.equal(view.values(), matrix)


def test_only_trained_branches_are_views(built):
    model, data = built("NeuMF", **EXTRA["NeuMF"] | {"mf_train": False})
    assert list(model.user_views(data)) == ["mlp"]


def test_scores_are_computed_from_the_propagated_view(built):
    model, data = built("LightGCN")
    view = model.user_views(data)["propagated"].values()
    torch.testing.assert_close(view, model.vectors()[0])


@pytest.mark.parametrize("name", ["DNNTSP", "Sets2Sets"])
def test_history_views_equal_the_model_input(built, name):
    model, data = built(name)
    (view,) = model.user_views(data).values()
    whole = view.values()
    model.people_at_once = 3
    torch.testing.assert_close(view.values(), whole)
    rows = data.exposure_rows(torch.arange(1, data.n_users).numpy())
    assert bool((whole[rows.entity] != 0).any(dim=1).all())
    assert len(torch.unique(whole, dim=0)) > len(rows.entity) // 2


def test_a_settled_view_follows_the_parameters_that_may_change(built):
    model, data = built("DNNTSP")
    model.double()
    (view,) = model.user_views(data).values()
    settled = view.settled()
    for _ in range(3):
        parameter = model.get_parameter("value.weight")
        weight = torch.randn(data.n_users, parameter.shape[0], dtype=torch.float64)
        wanted, found = ((made * weight).sum() for made in (view.vectors(), settled()))
        torch.testing.assert_close(settled(), view.vectors())
        expected, gradient = (torch.autograd.grad(value, parameter)[0] for value in (wanted, found))
        assert bool((expected != 0).any())
        torch.testing.assert_close(gradient, expected)
        with torch.no_grad():
            parameter.add_(torch.randn_like(parameter))
