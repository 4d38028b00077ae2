"""The training loop: when it stops, what it saves, and that a killed and resumed run gives identical results."""

import itertools
import logging
from itertools import pairwise
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.model.general_recommender.bpr import BPR
from recbole.model.general_recommender.pop import Pop
from recbole.trainer import ResumeFile, TrainingLoop, fingerprint, make_optimizer, optimizers
from recbole.trainer.sparse_adagrad import Adagrad
from recbole.trainer.sparse_adam import Adam, SparseAdam
from recbole.utils import UserError, init_seed

METRIC = "mrr@10"


class NoisyBPR(BPR):
    """BPR with dropout, and a learning rate that falls."""

    def calculate_loss(self, interaction):
        with torch.no_grad():
            keep = torch.nn.functional.dropout(torch.ones(len(interaction), self.embedding_size), 0.3, self.training)
        user, positive = self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])
        negative = self.get_item_embedding(interaction[self.NEG_ITEM_ID])
        return self.loss((user * positive * keep).sum(dim=1), (user * negative * keep).sum(dim=1))

    def scheduler(self, optimizer):
        return torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)


@pytest.fixture(scope="module")
def make(config, small_dataset):
    """A function: ``make(model_class, resume, **settings)`` returns a `TrainingLoop` with a new model from the seed."""

    def made(model_class=BPR, resume=None, also=None, **more):
        conf = config("unused", **{"train_batch_size": 64, "epochs": 3} | more)
        init_seed(conf["seed"])
        return TrainingLoop(conf, model_class(conf, small_dataset), small_dataset, resume, also=also)

    return made


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def last_weights(trainer):
    """Train, and return the weights as the last epoch left them."""
    trainer.model.load_state_dict = lambda *_: None
    trainer.fit()
    return weights(trainer.model)


# --- early stopping -----------------------------------------------------------------------------------------------


def recbole_stops(scores, patience, bigger):
    """Return (epochs trained, best epoch) by RecBole's rule: a tie is an improvement; stop when bad > patience."""
    best, best_epoch, bad = None, -1, 0
    for epoch, score in enumerate(scores):
        if best is None or (score >= best if bigger else score <= best):
            best, best_epoch, bad = score, epoch, 0
        else:
            bad += 1
        if bad > patience:
            return epoch + 1, best_epoch
    return len(scores), best_epoch


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(0, 3), st.booleans())
def test_it_stops_and_keeps_as_recbole_does(make, scores, patience, bigger):
    seen, told = [], iter(scores)

    def score(model, *_):
        seen.append(weights(model))
        value = float(next(told))
        return {METRIC: value}, value

    trainer = make(epochs=len(scores), stopping_step=patience, valid_metric_bigger=bigger, learning_rate=0.1)
    with patch("recbole.trainer.loop.validation", score):
        progress = trainer.fit()
    epochs, best = recbole_stops(scores, patience, bigger)
    assert (len(progress.losses), progress.best_epoch, len(seen)) == (epochs, best, epochs)
    assert progress.best_score == scores[best] and progress.best_result == {METRIC: scores[best]}
    assert same(weights(trainer.model), seen[best])
    assert not trainer.model.training


@pytest.mark.parametrize(("eval_step", "validations"), [(1, 5), (2, 2), (5, 1), (6, 0), (0, 0)])
def test_validation_every_so_many_epochs(make, monkeypatch, eval_step, validations):
    asked = []
    monkeypatch.setattr("recbole.trainer.loop.validation", lambda *_: asked.append(1) or ({METRIC: 0.0}, 0.0))
    trainer = make(epochs=5, eval_step=eval_step)
    progress = trainer.fit()
    assert (len(asked), len(progress.losses), len(progress.valid_seconds)) == (validations, 5, validations)
    if not validations:
        assert progress.best_epoch == 4 and progress.best_score is None
        assert same(weights(trainer.model), last_weights(make(epochs=5)))


def test_without_epochs_the_untrained_model_is_kept_as_epoch_minus_one(make):
    trainer = make(epochs=0)
    before = weights(trainer.model)
    assert trainer.fit().best_epoch == -1
    assert same(weights(trainer.model), before)


def test_a_model_that_is_fitted_when_built_is_validated_once(make):
    progress = make(Pop).fit()
    assert progress.losses == [] and progress.best_epoch == 0 and 0 < progress.best_score <= 1


# --- the time budget ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("budget", "epochs"), [(1e-9, 1), (19, 1), (20, 2), (35, 3), (1000, 6)])
def test_an_epoch_is_begun_only_if_the_last_ones_time_is_left(make, monkeypatch, budget, epochs):
    now = [0.0]
    clock = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0])
    for module in ("trainer.loop", "utils.device"):
        monkeypatch.setattr(f"recbole.{module}.time", clock)

    def score(*_):
        now[0] += 2.5
        return {METRIC: 0.0}, 0.0

    monkeypatch.setattr("recbole.trainer.loop.validation", score)
    trainer = make(epochs=6, max_training_hours=budget / 3600)

    def begin_epoch(*_):
        now[0] += 7.5

    trainer.model.begin_epoch = begin_epoch
    progress = trainer.fit()
    assert len(progress.losses) == epochs
    assert (progress.stopped == "time budget") == (epochs < 6)
    assert progress.epoch_seconds == [7.5] * epochs and progress.valid_seconds == [2.5] * epochs


# --- one step -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1e-4, 1e3])
def test_gradients_are_clipped(make, limit):
    settings = {"learner": "sgd", "learning_rate": 1.0, "epochs": 1, "train_batch_size": 10**6, "eval_step": 0}
    moves = []
    for clip in (None, {"max_norm": limit, "norm_type": 2}):
        trainer = make(**settings, clip_grad_norm=clip)
        before = weights(trainer.model)
        trainer.fit()
        moves.append({name: tensor - before[name] for name, tensor in weights(trainer.model).items()})
    free, clipped = (torch.cat([tensor.reshape(-1) for tensor in move.values()]).norm() for move in moves)
    assert 1e-3 < free < 1
    torch.testing.assert_close(clipped, torch.clamp(free, max=limit), rtol=1e-2, atol=0)


@pytest.mark.parametrize("at", [0, 4])
def test_a_loss_that_is_no_number_ends_the_training_in_one_line(make, at):
    class Diverges(BPR):
        calls = 0

        def calculate_loss(self, interaction):
            self.calls += 1
            return super().calculate_loss(interaction) * (float("nan") if self.calls > at else 1.0)

    with pytest.raises(UserError, match=rf"diverged: the loss of epoch 0, batch {at} is not a number.*0\.25") as error:
        make(Diverges, learning_rate=0.25).fit()
    assert "\n" not in str(error.value)


def test_a_tuple_of_losses_is_added(make):
    class TwoLosses(BPR):
        def calculate_loss(self, interaction):
            loss = super().calculate_loss(interaction)
            return loss / 4, loss * 3 / 4

    one, two = make(), make(TwoLosses)
    assert two.fit().losses == pytest.approx(one.fit().losses, rel=1e-4)


LEARNERS = {
    "adam": Adam,
    "Adam": Adam,
    "adamw": optimizers.AdamW,
    "sgd": optimizers.SGD,
    "adagrad": Adagrad,
    "rmsprop": optimizers.RMSprop,
    "sparse_adam": SparseAdam,
}


@pytest.mark.parametrize("name", LEARNERS)
def test_optimizers(make, name):
    trainer = make(
        learner=name, learning_rate=0.05, weight_decay=0.01, adam_beta1=0.0, adam_eps=1e-3, adagrad_accumulator=1e-8
    )
    optimizer = make_optimizer(trainer.config, trainer.model)
    group = optimizer.param_groups[0]
    assert type(optimizer) is LEARNERS[name]
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.05, 0.01, 2)
    if "adam" in name.lower():
        assert (group["betas"], group["eps"]) == ((0.0, 0.999), 1e-3)
    if name == "adagrad":
        assert group["initial_accumulator_value"] == 1e-8
    assert make_optimizer(trainer.config, trainer.model, 0.5).param_groups[0]["lr"] == 0.5


class SparseBPR(BPR):
    """BPR with sparse gradients."""

    def get_user_embedding(self, user):
        return torch.nn.functional.embedding(user, self.user_embedding.weight, sparse=True)

    def get_item_embedding(self, item):
        return torch.nn.functional.embedding(item, self.item_embedding.weight, sparse=True)


def test_adam_takes_the_sparse_gradients_of_a_drop_in_model_for_dense_ones(make):
    settings = {"learning_rate": 0.05, "train_batch_size": 8}
    dense = make(learner="adam", **settings).fit().losses
    assert make(SparseBPR, learner="adam", **settings).fit().losses == pytest.approx(dense, rel=1e-5)
    assert make(SparseBPR, learner="sparse_adam", **settings).fit().losses != pytest.approx(dense, rel=1e-3)


def test_an_unknown_optimizer_is_refused(make):
    with pytest.raises(UserError, match=r"learner .* should be one of adam,.*, not 'adan'"):
        make(learner="adan")


def test_frozen_parameters_stay(make):
    trainer = make(learning_rate=0.1)
    trainer.model.item_embedding.weight.requires_grad_(False)
    before = weights(trainer.model)
    trainer.fit()
    after = weights(trainer.model)
    assert torch.equal(before["item_embedding.weight"], after["item_embedding.weight"])
    assert not torch.equal(before["user_embedding.weight"], after["user_embedding.weight"])


# --- it learns ----------------------------------------------------------------------------------------------------


def test_the_loss_falls(make):
    progress = make(epochs=40, learning_rate=0.05, eval_step=0).fit()
    assert progress.losses[-1] < 0.5 * progress.losses[0]


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(make):
    runs = []
    for seed, noise in ((2, 0), (2, 1), (3, 0)):
        torch.manual_seed(noise)
        trainer = make(NoisyBPR, seed=seed)
        torch.manual_seed(noise)  # whatever others drew before
        trainer.fit()
        runs.append(weights(trainer.model))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_the_scheduler_is_stepped_once_an_epoch(make):
    rates = []

    class Watched(NoisyBPR):
        def calculate_loss(self, interaction):
            rates.append(trainer.optimizer.param_groups[0]["lr"])
            return super().calculate_loss(interaction)

    trainer = make(Watched, learning_rate=0.08, epochs=3)
    trainer.fit()
    per_epoch = len(trainer.batches)
    assert per_epoch > 1
    assert rates == [0.08] * 2 * per_epoch + [0.04] * per_epoch


# --- killed and resumed -------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Raised in place of a kill; nothing in the program expects it."""


def killed_after(model_class, calls):
    """Return the model class with a loss that raises :class:`Killed` after ``calls`` calls."""

    class Dies(model_class):
        left = calls

        def calculate_loss(self, interaction):
            if self.left == 0:
                raise Killed
            self.left -= 1
            return super().calculate_loss(interaction)

    return Dies


@pytest.fixture
def snapshots(tmp_path, monkeypatch):
    """A function that returns resume files with the same path, which write a snapshot after every batch."""
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    return lambda identity="run": ResumeFile(tmp_path / "x.resume", identity)


_TOLD = itertools.count()


def worse_and_worse(*_):
    """A validation in which every model is worse than the previous one."""
    value = -float(next(_TOLD))
    return {METRIC: value}, value


@pytest.mark.parametrize("also", [0, 1, 4])
def test_the_weights_of_another_epoch_are_kept_too_and_change_nothing_else(make, monkeypatch, also):
    monkeypatch.setattr("recbole.trainer.loop.validation", worse_and_worse)
    alone = make(NoisyBPR, epochs=6, stopping_step=1, learning_rate=0.08)
    alone.fit()
    trainer = make(NoisyBPR, also=also, epochs=6, stopping_step=1, learning_rate=0.08)
    progress = trainer.fit()
    assert (progress.best_epoch, progress.epoch, len(progress.losses)) == (0, 3, 3), "two worse ones end it"
    assert progress.losses == alone.progress.losses
    assert len(progress.epoch_seconds) == len(progress.valid_seconds) == 3
    assert same(weights(trainer.model), weights(alone.model))
    assert same(trainer.kept, last_weights(make(NoisyBPR, epochs=also + 1, stopping_step=9, learning_rate=0.08)))
    assert same(trainer.kept, weights(trainer.model)) == (also == 0)


def test_who_has_no_time_left_does_not_go_on(make, monkeypatch):
    monkeypatch.setattr("recbole.trainer.loop.validation", worse_and_worse)
    trainer = make(also=4, epochs=6, max_training_hours=1e-9)
    assert trainer.fit().stopped == "time budget"
    assert trainer.kept is None


@pytest.mark.parametrize("calls", [3, 14, 15, 16, 20, 24])
def test_a_run_that_is_killed_while_it_goes_on_ends_with_the_same_bits(make, snapshots, monkeypatch, calls):
    monkeypatch.setattr("recbole.trainer.loop.validation", worse_and_worse)
    settings = {"also": 4, "epochs": 6, "stopping_step": 1, "learning_rate": 0.08}
    whole = make(NoisyBPR, **settings)
    progress = whole.fit()
    with pytest.raises(Killed):
        make(killed_after(NoisyBPR, calls), snapshots(), **settings).fit()
    torch.manual_seed(99)
    resumed = make(killed_after(NoisyBPR, 25 - calls), snapshots(), **settings)
    again = resumed.fit()
    assert (again.losses, again.best_epoch, again.epoch) == (progress.losses, 0, 3)
    assert same(resumed.kept, whole.kept) and same(weights(resumed.model), weights(whole.model))
    complete = make(killed_after(NoisyBPR, 0), snapshots(), **settings)
    assert complete.fit().losses == progress.losses and same(complete.kept, whole.kept)


@pytest.mark.parametrize("calls", [1, 4, 5, 6, 9, 14])
@pytest.mark.parametrize("learner", ["adam", "sparse_adam", "rmsprop"])
def test_a_killed_run_ends_with_the_bits_of_one_that_was_not(make, snapshots, learner, calls):
    settings = {"learner": learner, "learning_rate": 0.08}
    whole = make(NoisyBPR, **settings)
    progress = whole.fit()
    assert len(whole.batches) == 5
    with pytest.raises(Killed):
        make(killed_after(NoisyBPR, calls), snapshots(), **settings).fit()
    torch.manual_seed(99)
    resumed = make(killed_after(NoisyBPR, 15 - calls), snapshots(), **settings)
    again = resumed.fit()
    assert same(weights(resumed.model), weights(whole.model))
    assert (again.losses, again.best_epoch, again.best_result) == (
        progress.losses,
        progress.best_epoch,
        progress.best_result,
    )
    assert resumed.best_state["optimizer"].keys() == whole.best_state["optimizer"].keys()
    rates = [trainer.optimizer.param_groups[0]["lr"] for trainer in (whole, resumed)]
    assert rates[0] == rates[1] == 0.04


def test_a_snapshot_of_another_layout_is_not_gone_on_from(make, snapshots, monkeypatch, caplog):
    with monkeypatch.context() as older:
        older.setattr("recbole.trainer.resume._LAYOUT", 1)
        make(NoisyBPR, snapshots(fingerprint(seed=2))).fit()
    monkeypatch.setattr(logging.getLogger("recbole"), "propagate", True)
    with pytest.raises(Killed):
        make(killed_after(NoisyBPR, 3), snapshots(fingerprint(seed=2))).fit()
    assert "data or version; starting from the beginning" in caplog.text


def test_a_complete_snapshot_is_gone_on_from_without_a_step(make, snapshots):
    first = make(NoisyBPR, snapshots())
    first.fit()
    second = make(killed_after(NoisyBPR, 0), snapshots())
    second.fit()
    assert same(weights(first.model), weights(second.model))


def test_killed_while_validating(make, snapshots, monkeypatch):
    def dies(*_):
        raise Killed

    whole = make(NoisyBPR)
    whole.fit()
    with monkeypatch.context() as patching, pytest.raises(Killed):
        patching.setattr("recbole.trainer.loop.validation", dies)
        make(NoisyBPR, snapshots()).fit()
    resumed = make(killed_after(NoisyBPR, 11), snapshots())  # the last batch again, and two epochs
    resumed.fit()
    assert same(weights(resumed.model), weights(whole.model))


def test_a_snapshot_of_another_run_or_a_damaged_one_is_told_and_not_used(make, snapshots, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("recbole"), "propagate", True)
    whole = make(NoisyBPR)
    whole.fit()
    with pytest.raises(Killed):
        make(killed_after(NoisyBPR, 7), snapshots()).fit()
    other = make(NoisyBPR, snapshots("another run"))
    other.fit()
    assert "other arguments, config, data or version; starting from the beginning" in caplog.text
    assert same(weights(other.model), weights(whole.model))
    path = snapshots().path
    path.write_bytes(path.read_bytes()[:1000])
    again = make(NoisyBPR, snapshots())
    again.fit()
    assert "cannot be read" in caplog.text
    assert same(weights(again.model), weights(whole.model))
    snapshots().remove()
    snapshots().remove()
    assert not path.exists()


@pytest.mark.parametrize(
    ("takes", "environment", "pauses"),
    [(0.0, None, 30), (3.0, None, 30), (4.0, None, 36), (6.0, None, 54), (60.0, None, 540), (60.0, "5", 5)],
)
def test_a_tenth_of_the_time_at_most_goes_into_snapshots(tmp_path, monkeypatch, takes, environment, pauses):
    monkeypatch.delenv("ERASE_SNAPSHOT_SECONDS", raising=False)
    if environment:
        monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", environment)
    now = [1000.0]

    def save(*_):
        now[0] += takes

    monkeypatch.setattr("recbole.trainer.resume.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr("recbole.trainer.resume.save_checkpoint", save)
    resume, ends = ResumeFile(tmp_path / "x.resume", "run"), [now[0]]
    while len(ends) < 4:
        now[0] += 0.25
        if resume.due():
            resume.save({})
            ends.append(now[0])
    first = 5 if environment else 30
    assert [end - before - takes for before, end in pairwise(ends)] == pytest.approx([first, pauses, pauses], abs=0.25)


@pytest.mark.parametrize("said", ["soon", "-1", "nan", "[1]", " "])
def test_a_pause_that_is_no_number_of_seconds_is_refused(tmp_path, monkeypatch, said):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", said)
    with pytest.raises(UserError, match="ERASE_SNAPSHOT_SECONDS should be a number of seconds"):
        ResumeFile(tmp_path / "x.resume", "identity")


def test_snapshots_are_as_far_apart_as_asked(make, tmp_path, monkeypatch):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "3600")
    resume = ResumeFile(tmp_path / "x.resume", "run")
    with pytest.raises(Killed):
        make(killed_after(NoisyBPR, 8), resume).fit()
    assert not resume.path.exists()


def test_nothing_is_left_of_a_snapshot_that_a_kill_tore(snapshots):
    """An incomplete snapshot may be large, and no later snapshot may replace it."""
    resume = snapshots()
    (resume.path.parent / ".x.resume.00000000.erase.partial").write_bytes(b"torn")
    resume.remove()
    assert not list(resume.path.parent.iterdir())
    resume.save({})
    resume.remove()
    assert not list(resume.path.parent.iterdir())


def test_a_snapshot_whose_best_epoch_lacks_an_entry_is_told(make, snapshots):
    with pytest.raises(Killed):
        make(killed_after(NoisyBPR, 9), snapshots()).fit()
    state = snapshots().load()
    best = state["best"]
    for wrong in ({"state_dict": best["state_dict"]}, best | {"optimizer": 3}, best | {"optimizer": {}}):
        snapshots().save(state | {"best": wrong})
        with pytest.raises(UserError, match="is not a snapshot of this run"):
            make(NoisyBPR, snapshots()).fit()
