"""The gate of Sets2Sets, stored only at entries that training reads, compared with a gate stored completely."""

from itertools import product

import numpy as np
import pytest
import torch
from test_next_basket import build, folder, gate_at_the_start, gate_of, randomise, sets2sets, users_of  # noqa: F401

from recbole.data.split import TRAIN
from recbole.model.basket_histories import places_of_pairs
from recbole.model.next_basket_recommender.sets2sets import Sets2Sets
from recbole.trainer import TrainingLoop, load_checkpoint, load_weights, save_checkpoint
from recbole.utils import UserError


class WholeGate(Sets2Sets):
    """Sets2Sets with every entry of the gate as a parameter."""

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.whole = torch.nn.Parameter(gate_of(self).detach().to(torch.get_default_dtype()))
        self.gate_weight.requires_grad_(False)

    def _gate(self, places):
        return self.whole[places // self.n_items, places % self.n_items]


def pairs_before_the_target(dataset):
    """Return the pairs of items in a user's history before the training target, regardless of the window."""
    log, found = dataset.log, set()
    for user in np.unique(log.user):
        items = log.item[(log.user == user) & (log.split < TRAIN)].tolist()
        found |= set(product(items, items))
    return found


def stored(model):
    return {divmod(place, model.n_items) for place in model.gate_places.tolist()}


@pytest.mark.parametrize("window", [1, 7])
def test_the_stored_entries_are_the_pairs_in_training_histories(folder, window):  # noqa: F811
    _, dataset, model = build(folder, "Sets2Sets", MAX_NBR_HISTORY_BASKETS=window)
    pairs = pairs_before_the_target(dataset)
    assert stored(model) == pairs and 0 < len(pairs) == model.gate_weight.numel() < (model.n_items - 1) ** 2
    assert (model.gate_places.diff() > 0).all()
    log = dataset.log
    forgotten = (log.item % 3 == 0) | (log.basket % 4 == 0)
    masked = dataset.masked(forgotten)
    again = Sets2Sets(model._built_from, masked)
    assert torch.equal(again.gate_places, model.gate_places)
    assert torch.equal(again.gate_weight.double(), model.gate_weight)
    batch = masked.collate(masked.train_examples())  # older baskets have moved into the window
    _, there = again._number(torch.tensor([i * model.n_items + j for i, j in read(batch)]))
    assert there.all() and len(there) == len(again.entries("gate_weight", batch).unique())


def read(batch):
    """Return the pairs of items within each history."""
    found = set()
    for baskets, _ in users_of(batch):
        items = {item for basket in baskets for item in basket}
        found |= set(product(items, items))
    return sorted(found)


def test_pairs_do_not_depend_on_the_block_size(monkeypatch):
    draw = np.random.default_rng(1)
    user, item = draw.integers(0, 30, 400), draw.integers(1, 50, 400)
    expected = {i * 50 + j for u in range(30) for i, j in product(item[user == u].tolist(), repeat=2)}
    for at_once in (1, 300, 2**22):
        monkeypatch.setattr("recbole.model.basket_histories.PAIRS_AT_ONCE", at_once)
        assert places_of_pairs(user, item, 50).tolist() == sorted(expected)
    assert not len(places_of_pairs(user[:0], item[:0], 50))


@pytest.mark.parametrize("split", ["valid", "test"])
def test_entries_that_are_not_stored_have_their_initial_value(folder, split):  # noqa: F811
    _, dataset, model = build(folder, "Sets2Sets", seed=11)
    start = gate_at_the_start(model.n_items, 11)
    torch.testing.assert_close(model.gate_weight, start.view(-1)[model.gate_places], rtol=0, atol=1e-7)
    randomise(model)
    batch = dataset.eval_rows(split).inputs[:]
    assert set(read(batch)) - stored(model)
    expected = torch.stack([sets2sets(model, baskets, gate_of(model, start)) for baskets, _ in users_of(batch)])
    torch.testing.assert_close(model.full_sort_predict(batch), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("more", [{}, {"clip_grad_norm": {"max_norm": 0.01}}], ids=str)
def test_training_equals_that_of_a_complete_gate(folder, more):  # noqa: F811
    settings = {"train_batch_size": 2, "epochs": 12, "eval_step": 0} | more
    config, dataset, model = build(folder, "Sets2Sets", **settings)
    torch.manual_seed(3)
    whole = WholeGate(config, dataset).double()
    whole.load_state_dict(model.state_dict(), strict=False)
    whole.whole.data.copy_(gate_of(model))
    losses = [TrainingLoop(config, one, dataset).fit().losses for one in (model, whole)]
    np.testing.assert_allclose(*losses, rtol=1e-9)
    torch.testing.assert_close(gate_of(model), whole.whole, rtol=0, atol=1e-9)
    for name, parameter in model.named_parameters():
        if name != "gate_weight":
            torch.testing.assert_close(parameter, whole.get_parameter(name), rtol=0, atol=1e-9, msg=name)


# --- files -------------------------------------------------------------------------------------------------------


def scores(model, dataset):
    with torch.no_grad():
        return torch.cat([model.full_sort_predict(dataset.eval_rows(split).inputs[:]) for split in ("valid", "test")])


def test_a_file_with_a_complete_gate_gives_the_same_scores_and_is_saved_as_entries(folder, tmp_path):  # noqa: F811
    _, dataset, model = build(folder, "Sets2Sets", double=False)
    randomise(model)
    gate = torch.randn(model.n_items, model.n_items)
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("gate_")}
    state |= {"gate_weight": gate, "gate_bias": model.gate_bias.detach()}
    save_checkpoint(tmp_path / "old.pth", {"state_dict": state})
    load_weights(model, load_checkpoint(tmp_path / "old.pth"), "old.pth")
    questions = [users_of(dataset.eval_rows(split).inputs[:]) for split in ("valid", "test")]
    double = build(folder, "Sets2Sets")[2]
    exact = {name: parameter.double() for name, parameter in model.named_parameters()}
    for name, parameter in double.named_parameters():
        if name != "gate_weight":
            parameter.data.copy_(exact[name])
    expected = torch.stack([sets2sets(double, baskets, gate.double()) for some in questions for baskets, _ in some])
    found = scores(model, dataset)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-4)

    save_checkpoint(tmp_path / "new.pth", {"state_dict": model.state_dict()})
    other = build(folder, "Sets2Sets", double=False, seed=99)[2]
    load_weights(other, load_checkpoint(tmp_path / "new.pth"), "new.pth")
    assert torch.equal(scores(other, dataset), found)
    assert {k: v.shape for k, v in other.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}


def test_a_file_is_read_with_its_own_random_key(folder):  # noqa: F811
    _, dataset, model = build(folder, "Sets2Sets", seed=11)
    other = build(folder, "Sets2Sets", seed=12)[2]
    load_weights(other, {"state_dict": model.state_dict()}, "x.pth")
    assert torch.equal(scores(other, dataset), scores(model, dataset))


def put(at, value):
    def change(places):
        places = places.clone()
        places[at] = value
        return places

    return change


HOSTILE = {
    "negative": put(0, -1),
    "beyond": put(-1, (1 << 62)),
    "the first beyond": put(-1, 14**2),
    "not ascending": lambda places: places.flip(0),
    "twice": lambda places: places[[0, 0, *range(2, len(places))]],
    "fewer": lambda places: places[1:],
    "a matrix": lambda places: places.view(1, -1),
    "no whole numbers": lambda places: places.double(),
    "sparse": lambda places: places.to_sparse(),
    "none": lambda places: None,
    "text": lambda places: "text",
}


@pytest.mark.parametrize("how", HOSTILE)
def test_invalid_entry_positions_give_a_one_line_error(folder, how):  # noqa: F811
    model = build(folder, "Sets2Sets")[2]
    assert model.n_items == 14
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = before | {"gate_places": HOSTILE[how](model.gate_places)}
    with pytest.raises(UserError, match=r"^x\.pth: 'gate_places' should be \d+ ascending indices") as error:
        load_weights(model, {"state_dict": state}, "x.pth")
    assert "\n" not in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    "gate", [torch.zeros(3, 14), torch.zeros(15, 15), torch.zeros(()), torch.zeros(2, 2, 2), None, 3]
)
def test_a_gate_with_another_shape_gives_a_one_line_error(folder, gate):  # noqa: F811
    model = build(folder, "Sets2Sets")[2]
    with pytest.raises(UserError, match=r"^x\.pth: .*gate_weight") as error:
        load_weights(model, {"state_dict": model.state_dict() | {"gate_weight": gate}}, "x.pth")
    assert "\n" not in str(error.value)
