"""Exact deletion, compared with fitting the remaining rows, request by request and in whole runs."""

import numpy as np
import pytest
import scipy.sparse
from asking import ask

from recbole.utils import UserError

MODELS = ("EASE", "ItemKNN", "Pop", "Pop_SBR", "SKNN_SBR", "GTopFreq", "GPTopFreq", "TIFUKNN")


def dense(model):
    arrays = model.learned()
    return [a.toarray() if scipy.sparse.issparse(a) else a.double().numpy() for a in arrays]


@pytest.mark.parametrize("name", MODELS)
def test_every_request_ends_at_the_model_fitted_on_what_is_left(worlds, name):
    world = worlds(name)
    algorithm = world.start("exact")
    first = dense(algorithm.model)
    for index, request in enumerate(world.requests[i] for i in range(len(world.requests))):
        before = dense(algorithm.model)
        outcome = ask(algorithm, request.rows, index)
        assert outcome.status == "applied", outcome
        left = world.dataset.masked(algorithm.dataset.forgotten.copy())
        after, fitted = dense(algorithm.model), dense(type(algorithm.model)(world.config, left))
        assert all(np.abs(one - other).max() <= 1e-8 for one, other in zip(after, fitted, strict=True))
        moved = sum(((one - other) ** 2).sum() for one, other in zip(after, before, strict=True)) ** 0.5
        assert outcome.relative_change == pytest.approx(moved / sum((x**2).sum() for x in before) ** 0.5, rel=1e-6)
    assert any(np.abs(one - other).max() > 1e-5 for one, other in zip(after, first, strict=True))


def test_a_deletion_that_changes_nothing_is_no_deletion(worlds):
    world = worlds("Pop")
    algorithm = world.start("exact")
    algorithm.dataset.forgotten[world.requests[0].rows] = True
    outcome = ask(algorithm, world.requests[0].rows, 0)
    assert (outcome.status, outcome.reason) == ("skipped", "no training example")


@pytest.mark.parametrize("name", ["BPR", "GRU4Rec", "Random"])
def test_other_models_are_refused(worlds, name):
    with pytest.raises(UserError, match=f"closed form, and {name} is none"):
        worlds(name).start("exact")
