"""Contract of models: a model is tested by a subclass of `ModelContract` that sets ``model``."""

from abc import ABC
from typing import ClassVar

import numpy as np
import pytest
import torch
from contract_cover import uncovered
from small_worlds import USERS, known, poisoned, removed, replaced, same, trained

from recbole.data import Negatives
from recbole.data.sampler import in_turn
from recbole.model import get_model
from recbole.trainer.learn import new_model
from recbole.trainer.state import Run, State
from recbole.utils import init_seed, stream

PLACES = ("gate_places",)
"""Buffers with the positions of a matrix's stored entries."""


def without_contract(names):
    """Return those of the models (lower-case names) that no contract covers."""
    return uncovered(ModelContract, "model", names)


class ModelContract(ABC):
    """A model is trained once on small data of its task, and then checked.

    ``learns``: training changes the scores. ``ranks``: scores differ between items for every user. ``repeats``: scoring
    twice gives the same result. ``planted_leaves``: how much planted rows may change a parameter after they were all
    forgotten: zero, or rounding errors if a sparse product depends on the positions of rows.
    """

    model: ClassVar[str]
    learns: ClassVar[bool] = True
    ranks: ClassVar[bool] = True
    repeats: ClassVar[bool] = True
    planted_leaves: ClassVar[float] = 0.0

    @pytest.fixture
    def world(self, worlds):
        return worlds(self.model)

    def fresh(self, world, data=None):
        init_seed(5)
        model = get_model(self.model)(world.config, world.dataset if data is None else data)
        model.load_state_dict({name: tensor for name, tensor in world.state.items() if name in model.state_dict()})
        return model.eval()

    def scores(self, model, world, n=6):
        rows = world.dataset.eval_rows("test").inputs[:n]
        with torch.no_grad():
            return model.full_sort_predict(rows).view(len(rows), -1)

    def test_it_is_found_by_its_name(self):
        assert get_model(self.model).__name__ == self.model

    def test_scores_are_of_every_item_and_finite(self, world):
        scores = self.scores(self.fresh(world), world)
        assert scores.shape == (6, world.dataset.n_items)
        assert torch.isfinite(scores[:, 1:]).all()
        assert not self.ranks or (scores[:, 1:].std(dim=1) > 0).all()

    def test_scoring_has_no_side_effect_and_is_repeatable(self, world):
        model = self.fresh(world)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        first = self.scores(model, world).clone()
        if self.repeats:
            assert torch.equal(first, self.scores(model, world))
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

    def test_the_loss_is_a_number_whose_gradient_reaches_a_parameter(self, world):
        model, _, loss = self.with_gradients(world)
        assert loss.dim() == 0 and torch.isfinite(loss)
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert any(gradient.to_dense().abs().sum() > 0 for gradient in gradients)

    def test_the_loss_reads_row_tables_only_in_the_rows_of_their_fields(self, world):
        model, batch, _ = self.with_gradients(world)
        if not model.row_tables:
            pytest.skip("it declares no row_tables")
        for name, fields in model.row_tables.items():
            gradient = model.get_parameter(name).grad.to_dense()
            read = torch.cat([batch[field].reshape(-1) for field in fields if field in batch])
            assert not gradient[~torch.isin(torch.arange(len(gradient)), read)].any()

    def with_gradients(self, world):
        """Return a model after the backward pass of one batch, the batch with its negatives, and the loss."""
        model = self.fresh(world)
        if not model.trainable:
            pytest.skip("it is fitted, not trained")
        batch = world.dataset.collate(world.dataset.train_examples()[:8])
        negatives = Negatives(world.config, world.dataset, model.input_type)
        batch = negatives.add(batch, in_turn(stream(2, "contract")), negatives.times)
        model.train()
        model.begin_epoch(model.warm_up_epochs, world.dataset)
        loss = model.calculate_loss(batch)
        loss = sum(loss) if isinstance(loss, tuple) else loss
        loss.backward()
        return model, batch, loss

    def test_rebuilding_under_a_mask_does_not_change_parameters(self, world):
        model = self.fresh(world)
        before = {name: parameter.clone() for name, parameter in model.named_parameters()}
        mask = np.zeros(len(world.dataset.log), dtype=bool)
        mask[world.requests[0].rows] = True
        assert world.requests.entities[0] == str(USERS[0])
        model.rebuild(world.dataset.masked(mask))
        assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
        scored = self.scores(self.fresh(world), world, n=len(USERS) * 4)
        if self.repeats and model.trainable and not model.rebuild_changes_scores:
            assert torch.equal(scored, self.scores(model, world, n=len(USERS) * 4))
        assert torch.isfinite(self.scores(model, world)[:, 1:]).all()

    def test_masking_rows_equals_removing_them_bit_by_bit(self, world):
        mask = np.zeros(len(world.dataset.log), dtype=bool)
        for request in world.requests.between(0, len(world.requests)):
            mask[request.rows] = True
        data = (form(world.dataset, mask) for form in (lambda data, mask: data.masked(mask), replaced, removed))
        masked, otherwise, without = (known(trained(world.config, one, 2)) for one in data)
        assert same(masked, otherwise) and same(masked, without)
        assert not self.learns or not same(masked, known(trained(world.config, world.data(), 2)))

    def test_with_all_planted_rows_masked_it_equals_the_clean_model_bit_by_bit(self, world, tmp_path, monkeypatch):
        # Rows have a multiple of 16 numbers, since a fused Adam rounds the last few numbers of a tensor differently.
        for size in ("embedding_size", "mf_embedding_size", "mlp_embedding_size"):
            monkeypatch.setitem(world.config, size, 16)
        both, run = poisoned(world.data(), tmp_path), Run(world.config, get_model(self.model))
        planted = both.log.user >= both.first_fake
        models = []
        for data, mask in (
            (world.dataset, planted[: len(world.dataset.log)]),
            (both, planted),
            (both, np.zeros_like(planted)),
        ):
            state = State("base", data, mask)
            build = lambda *_, state=state: new_model(run, state)  # noqa: E731
            models.append(known(trained(world.config, state.data, 2, build)))
        clean, forgotten, attacked = models
        for name, values in clean.items():
            genuine = forgotten[name][tuple(map(slice, values.shape))]
            places = get_model(self.model).entry_tables.get(name, name if name in PLACES else None)
            if places is not None:
                genuine = forgotten[name][torch.searchsorted(forgotten[places], clean[places])]
            torch.testing.assert_close(genuine, values, rtol=0, atol=self.planted_leaves, equal_nan=True)
        assert not self.learns or not same(attacked, forgotten)

    def test_forgotten_injected_examples_have_a_finite_loss_after_the_rebuild(self, world, tmp_path):
        """Algorithms take its gradient: the batch's users then have no retained row."""
        both = poisoned(world.data(), tmp_path)
        model = get_model(self.model)(world.config, both).eval()
        if not model.trainable:
            pytest.skip("it is fitted, not trained")
        without = both.masked(both.log.user >= both.first_fake)
        forgotten = np.setdiff1d(both.train_examples(), without.train_examples())
        negatives = Negatives(world.config, both, model.input_type)
        batch = negatives.add(both.collate(forgotten[-8:]), in_turn(stream(2, "contract")), negatives.times)
        model.begin_epoch(model.warm_up_epochs, both)
        model.rebuild(without)
        assert len(forgotten) and torch.isfinite(model.loss_sum(batch))

    def test_several_requests_equal_one_rebuild(self, world):
        model, other, data = self.fresh(world), self.fresh(world), world.data()
        for request in world.requests:
            model.rebuild_without(data, data.forget(request.rows).rows)
        other.rebuild(data)
        if self.repeats:
            assert torch.equal(self.scores(model, world), self.scores(other, world))

    def test_a_checkpoint_contains_the_whole_state(self, world):
        model = self.fresh(world)
        other = get_model(self.model)(world.config, world.dataset)
        other.load_state_dict(model.state_dict())
        if model.other_parameter():
            other.load_other_parameter(model.other_parameter())
        other.eval()
        if self.repeats:
            torch.testing.assert_close(self.scores(other, world), self.scores(model, world))
