"""The steps on RecBole's documentation pages about modules, data and atomic files."""

from logging import getLogger

import numpy as np
import pandas as pd
import pytest
import torch

from recbole.config import Config
from recbole.data import Interaction, cat_interactions, create_dataset, data_preparation
from recbole.data.dataloader.general_dataloader import FullSortEvalDataLoader, NegSampleEvalDataLoader
from recbole.data.split import VALID
from recbole.data.transform import construct_transform
from recbole.doors.sampled_loader import NegSampleEvalDataLoader as Sampled
from recbole.evaluator import Collector, Evaluator, metrics_dict
from recbole.model.abstract_recommender import AutoEncoderMixin, GeneralRecommender
from recbole.model.general_recommender import BPR
from recbole.model.loss import BPRLoss
from recbole.trainer import Trainer
from recbole.utils import (
    InputType,
    NotAvailable,
    UserError,
    calculate_valid_score,
    dict2str,
    early_stopping,
    get_model,
    get_trainer,
    init_logger,
    init_seed,
    set_color,
)
from recbole.utils.undisturbed import undisturbed


@pytest.fixture
def made(home, quick):
    """A function: ``made(model, **settings)`` returns a configuration and the unsplit data set."""

    def make(model="BPR", **settings):
        config = Config(model=model, dataset="tiny", config_dict=quick | {"load_col": None} | settings)
        return config, create_dataset(config)

    return make


def test_the_steps_of_the_page_use_modules(home, quick):
    with undisturbed():
        config = Config(model="BPR", dataset="tiny", config_dict=quick)
        init_seed(config["seed"], config["reproducibility"])
        init_logger(config)
        logger = getLogger()
        logger.info(config)
        dataset = create_dataset(config)
        train_data, valid_data, test_data = data_preparation(config, dataset)
        model = BPR(config, train_data.dataset).to(config["device"])
        trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
        told = []
        score, result = trainer.fit(train_data, valid_data, callback_fn=lambda *both: told.append(both))
        again = trainer.evaluate(test_data)
    assert get_model("BPR") is BPR and isinstance(trainer, Trainer)
    assert [epoch for epoch, _ in told] == [0, 1] and score == max(value for _, value in told)
    assert calculate_valid_score(result, "MRR@5") == round(score, 4)
    assert trainer.evaluate(test_data, model_file=trainer.saved_model_file) == again
    assert len(trainer.train_loss_dict) == 2 and dict2str({"a": 1, "b": 2}) == "a : 1    b : 2"


def test_own_data_and_an_own_model(home, quick):
    class Mine(GeneralRecommender):
        """A model with one vector per user and item, as on RecBole's page about models."""

        input_type = InputType.PAIRWISE

        def __init__(self, config, dataset):
            super().__init__(config, dataset)
            self.users = torch.nn.Embedding(self.n_users, config["vector_size"])
            self.items = torch.nn.Embedding(self.n_items, config["vector_size"])
            self.loss = BPRLoss()

        def calculate_loss(self, interaction):
            user = self.users(interaction[self.USER_ID])
            good, bad = (self.items(interaction[name]) for name in (self.ITEM_ID, self.NEG_ITEM_ID))
            return self.loss((user * good).sum(dim=1), (user * bad).sum(dim=1))

        def predict(self, interaction):
            return (self.users(interaction[self.USER_ID]) * self.items(interaction[self.ITEM_ID])).sum(dim=1)

    folder = home / "dataset" / "own"
    folder.mkdir(exist_ok=True)
    rows = ["who:token,what:token", *(f"p{at % 6},q{(at * at + at // 6) % 11}" for at in range(60))]
    (folder / "own.inter").write_text("\n".join(rows) + "\n")
    columns = {"USER_ID_FIELD": "who", "ITEM_ID_FIELD": "what", "field_separator": ",", "load_col": None}
    config = Config(
        model=Mine, dataset="own", config_dict=quick | columns | {"vector_size": 3, "rm_dup_inter": "first"}
    )
    init_seed(config["seed"], config["reproducibility"])
    train_data, valid_data, test_data = data_preparation(config, create_dataset(config))
    trainer = Trainer(config, Mine(config, train_data.dataset).to(config["device"]))
    trainer.fit(train_data, valid_data, verbose=False, saved=False)
    assert 0 < trainer.evaluate(test_data)["hit@5"] <= 1
    assert trainer.train_loss_dict[1] < trainer.train_loss_dict[0] * 1.5


class OneLayer(GeneralRecommender, AutoEncoderMixin):
    """An auto-encoder in RecBole's style: its input type is pairwise, but it reads no negatives."""

    input_type = InputType.PAIRWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.build_histroy_items(dataset)
        self.layer = torch.nn.Linear(self.n_items, self.n_items)

    def calculate_loss(self, interaction):
        rows = self.get_rating_matrix(interaction[self.USER_ID])
        return -(torch.log_softmax(self.layer(rows), dim=1) * rows).sum(dim=1).mean()

    def full_sort_predict(self, interaction):
        return self.layer(self.get_rating_matrix(interaction[self.USER_ID]))


def test_an_auto_encoder_is_trained_without_negatives(home, quick):
    config = Config(OneLayer, "tiny", config_dict=quick | {"train_neg_sample_args": None, "learning_rate": 0.01})
    train_data, valid_data, test_data = data_preparation(config, create_dataset(config))
    assert all("neg_item_id" not in batch for batch in train_data)
    trainer = Trainer(config, OneLayer(config, train_data.dataset))
    trainer.fit(train_data, valid_data, verbose=False, saved=False)
    assert trainer.train_loss_dict[1] < trainer.train_loss_dict[0] and trainer.evaluate(test_data)["hit@5"] > 0
    pairs = Config("BPR", "tiny", config_dict=quick | {"train_neg_sample_args": None})
    parts = data_preparation(pairs, create_dataset(pairs))
    with pytest.raises(UserError, match="a pairwise model needs negatives"):
        Trainer(pairs, BPR(pairs, parts[0].dataset)).fit(*parts[:2], saved=False)


def test_training_continues_from_a_checkpoint(home, quick, tmp_path):
    def trained(epochs, resumed=None):
        config = Config(
            "BPR", "tiny", config_dict=quick | {"epochs": epochs, "checkpoint_dir": str(tmp_path), "eval_step": 0}
        )
        train_data, *_ = data_preparation(config, create_dataset(config))
        init_seed(config["seed"])
        trainer = Trainer(config, BPR(config, train_data.dataset))
        trainer.saved_model_file = str(tmp_path / f"{epochs}{resumed is not None}.pth")
        if resumed is not None:
            trainer.resume_checkpoint(resumed)
        assert trainer.fit(train_data, verbose=False) == (-np.inf, None)
        return trainer

    first = trained(1)
    whole, on = trained(2), trained(2, first.saved_model_file)
    assert list(on.train_loss_dict) == [1] and on.train_loss_dict[1] == whole.train_loss_dict[1]
    assert torch.equal(on.model.item_embedding.weight, whole.model.item_embedding.weight)


def test_the_description_of_a_data_set(made):
    _, dataset = made(normalize_all=False)
    raw = pd.read_csv("dataset/tiny/tiny.inter", sep="\t").rename(columns=lambda name: name.partition(":")[0])
    assert (dataset.user_num, dataset.item_num, dataset.inter_num, len(dataset)) == (21, 31, len(raw), len(raw))
    assert dataset.avg_actions_of_users == pytest.approx(len(raw) / 20)
    assert dataset.sparsity == pytest.approx(1 - len(raw) / 21 / 31)
    counts = raw["user_id"].value_counts()
    assert {dataset.id2token("user_id", user): n for user, n in dataset.user_counter.items()} == counts.to_dict()
    assert sum(dataset.item_counter.values()) == len(raw)
    assert dataset.field2token_id["user_id"]["u0"] == dataset.token2id("user_id", "u0") == 1
    assert dataset.field2id_token["tags"][0] == "[PAD]" and dataset.num("tags") == 5
    assert set(dataset.float_like_fields) == {"rating", "timestamp", "age", "price"}
    assert dataset.seq_fields == ["tags"] and dataset.uid_field == "user_id"
    assert isinstance(dataset.inter_feat, pd.DataFrame) and len(dataset.user_feat) == 21
    u4 = dataset.token2id("user_id", "u4")
    assert dataset.user_feat["age"][u4] == 24 and dataset.user_feat["age"][0] == pytest.approx(29.5)
    assert "The number of inters: " + str(len(raw)) in str(dataset)
    with pytest.raises(ValueError, match="rating"):
        dataset.counter("rating")


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"val_interval": {"rating": "[3,inf)"}}, lambda raw: raw[raw.rating >= 3]),
        ({"val_interval": {"age": "(-inf,24]"}}, lambda raw: raw[raw.user_id.isin([f"u{n}" for n in range(5)])]),
        ({"user_inter_num_interval": "[10,inf)"}, lambda raw: raw.groupby("user_id").filter(lambda of: len(of) >= 10)),
    ],
)
def test_filters(made, settings, left):
    _, dataset = made(**settings)
    raw = left(pd.read_csv("dataset/tiny/tiny.inter", sep="\t").rename(columns=lambda name: name.partition(":")[0]))
    assert dataset.inter_num == len(raw)
    assert set(dataset.field2token_id["user_id"]) == {"[PAD]", *raw["user_id"]}
    assert len(dataset.user_feat) == dataset.user_num


def test_labels_and_scaled_columns(made):
    _, dataset = made(threshold={"rating": 4}, normalize_field=["timestamp"])
    frame = dataset.inter_feat
    assert ((frame["rating"] >= 4) == (frame["label"] == 1)).all()
    assert frame["timestamp"].min() == 0 and frame["timestamp"].max() == 1
    parts = dataset.build()
    assert parts[0].inter_feat["timestamp"].max() <= 1 and "label" in parts[0].inter_feat


@pytest.mark.parametrize(("split", "order"), [({"RS": [0.8, 0.1, 0.1]}, "TO"), ({"LS": "valid_and_test"}, "RO")])
def test_the_parts_of_a_data_set(made, split, order):
    _, dataset = made(eval_args={"split": split, "order": order})
    pairs = [set(zip(*(part.inter_feat[name].tolist() for name in ("user_id", "item_id")), strict=True))
             for part in dataset.build()]  # fmt: skip
    assert sum(map(len, pairs)) == len(set.union(*pairs)) == dataset.inter_num
    assert [part.inter_num for part in dataset.build()] == [len(part) for part in pairs]
    assert all(part.inter_matrix().sum() == len(of) for part, of in zip(dataset.build(), pairs, strict=True))


def test_sequence_columns_and_aliases(home, quick):
    folder = home / "dataset" / "lists"
    folder.mkdir(exist_ok=True)
    lines = ["user_id:token\titem_id:token\tfriend:token\tliked:token_seq", "a\tx\tb\ty z", "b\ty\tc\t", "c\tx\ta\tx"]
    (folder / "lists.inter").write_text("\n".join(lines) + "\n")
    own = create_dataset(Config("BPR", "lists", config_dict=quick | {"load_col": None}))
    assert [row.tolist() for row in own.inter_feat["liked"]] == [[1, 2], [], [3]]
    alias = {"alias_of_user_id": ["friend"], "alias_of_item_id": ["liked"], "load_col": None}
    shared = create_dataset(Config("BPR", "lists", config_dict=quick | alias))
    assert shared.inter_feat["friend"].tolist() == shared.token2id("user_id", ["b", "c", "a"]).tolist()
    assert [row.tolist() for row in shared.inter_feat["liked"]] == [[2, 3], [], [1]] and shared.item_num == 4
    wrong = Config("BPR", "lists", config_dict=quick | alias | {"alias_of_user_id": ["freind"]})
    with pytest.raises(UserError, match="did you mean 'friend'"):
        create_dataset(wrong)


def test_malformed_lines_that_recbole_accepts_give_a_warning(home, quick, caplog):
    folder = home / "dataset" / "odd"
    folder.mkdir(exist_ok=True)
    (folder / "odd.inter").write_text("user_id:token\titem_id:token\na\tx\t7\n\ty\nb\ty\nb\tx\n")
    config = Config("BPR", "odd", config_dict=quick)
    assert create_dataset(config).inter_num == 3
    assert "odd.inter:2: values after the last column" in caplog.text and "1 rows without user_id" in caplog.text
    strict = Config("BPR", "odd", config_dict=quick | {"bad_lines": "refuse"})
    with pytest.raises(UserError, match=r"odd\.inter:2: expected 2 tab-separated values, found 3"):
        create_dataset(strict)


# --- loaders -------------------------------------------------------------------------------------------------------


def test_training_batches_with_features(made):
    config, dataset = made(train_batch_size=16)
    train_data, *_ = data_preparation(config, dataset)
    batches = list(train_data)
    assert len(batches) == len(train_data) and sum(map(len, batches)) == dataset.build()[0].inter_num
    batch, price = batches[0], torch.tensor(dataset.item_feat["price"].to_numpy())
    assert torch.equal(batch["price"], price[batch["item_id"]])
    assert torch.equal(batch["neg_price"], price[batch["neg_item_id"]])
    assert not torch.equal(next(iter(train_data))["item_id"], batch["item_id"]), "the order differs between epochs"
    train_data.shuffle = False
    in_order = torch.cat([batch["item_id"] for batch in train_data])
    assert torch.equal(in_order, dataset.build()[0].inter_feat["item_id"])


def test_evaluation_batches(made):
    config, dataset = made()
    _, valid_data, _ = data_preparation(config, dataset)
    assert isinstance(valid_data, FullSortEvalDataLoader)
    train, valid, _ = dataset.build()
    for users, history, row, item in valid_data:
        for at, user in enumerate(users["user_id"].tolist()):
            assert set(item[row == at].tolist()) == set(
                valid.inter_feat["item_id"][valid.inter_feat["user_id"] == user].tolist()
            )
            had = train.inter_feat["item_id"][train.inter_feat["user_id"] == user]
            assert set(history[1][history[0] == at].tolist()) == set(had.tolist())
            assert torch.equal(valid_data.uid2history_item[user].sort().values, had.unique())


@pytest.mark.parametrize(("mode", "drawn"), [("uni7", ("uniform", 7)), ("pop5", ("popularity", 5))])
def test_evaluation_batches_with_sampled_candidates(made, mode, drawn):
    config, dataset = made(eval_batch_size=40)
    config["eval_args"] = config["eval_args"] | {"mode": {"valid": mode, "test": mode}}
    loader = NegSampleEvalDataLoader(config, dataset.build()[1])
    assert tuple(loader.neg_sample_args.values()) == drawn
    rows = loader.rows
    seen = 0
    for pairs, row, right_row, right in loader:
        assert len(pairs) == len(row) == len(right) * (1 + drawn[1]) and len(pairs) <= max(40, loader._batch_size)
        for at in range(int(row.max()) + 1):
            mine = pairs["item_id"][row == at].tolist()
            positives, history = (
                set(part.take(np.array([seen])).values.tolist()) for part in (rows.positives, rows.history)
            )
            assert (
                mine[: len(positives)] == right[right_row == at].tolist() and set(mine[: len(positives)]) == positives
            )
            assert not set(mine[len(positives) :]) & (positives | history)
            seen += 1
    assert seen == len(rows.inputs)


def test_labelled_batches_are_single_interactions(made):
    config, dataset = made(eval_batch_size=3)
    config["eval_args"] = config["eval_args"] | {"mode": {"valid": "labeled", "test": "labeled"}}
    loader = Sampled(config, dataset.build()[1])
    assert loader.dataset.shown == VALID
    assert torch.equal(torch.cat([batch[0]["item_id"] for batch in loader]), loader.dataset.inter_feat["item_id"])


# --- small things --------------------------------------------------------------------------------------------------


def test_interactions():
    one = Interaction(pd.DataFrame({"a": [3, 1, 2], "b": [1, 1, 0]}))
    both = cat_interactions([one, one[:1]])
    assert both["a"].tolist() == [3, 1, 2, 3]
    both.sort(by=["b", "a"], ascending=[True, False])
    assert both["a"].tolist() == [2, 3, 3, 1]
    del both["b"]
    both.shuffle()
    assert sorted(both["a"].tolist()) == [1, 2, 3, 3] and both.columns == ["a"]
    with pytest.raises(ValueError, match="'c'"):
        both.sort(by="c")


def test_early_stopping_counts_ties_as_better():
    assert early_stopping(2.0, 2.0, 3, 5) == (2.0, 0, False, True)
    assert early_stopping(1.0, 2.0, 5, 5) == (2.0, 6, True, False)
    assert early_stopping(1.0, 2.0, 5, 5, bigger=False) == (1.0, 0, False, True)
    assert set_color("x", "red") == "\033[1;31mx\033[0m" and set_color("x", "mauve", False) == "\033[0;37mx\033[0m"


def test_collector_and_evaluator_agree_with_the_trainer(home, quick):
    config = Config("BPR", "tiny", config_dict=quick | {"metrics": ["Recall", "NDCG"]})
    train_data, _, test_data = data_preparation(config, create_dataset(config))
    model = BPR(config, train_data.dataset).eval()
    collector = Collector(config)
    collector.data_collect(train_data)
    for users, history, row, item in test_data:
        scores = model.full_sort_predict(users).view(len(users), -1).detach()
        scores[:, 0], scores[history] = -torch.inf, -torch.inf
        collector.eval_batch_collect(scores, users, row, item)
    found = Evaluator(config).evaluate(collector.get_data_struct())
    assert found == Trainer(config, model).evaluate(test_data)
    hits = np.array([[1, 0, 1]])
    assert metrics_dict["recall"](config).metric_info(hits, np.array([4])).tolist() == [[0.25, 0.25, 0.5]]


def test_transforms_of_sequences(home, quick):
    settings = quick | {
        "mask_ratio": 1.0,
        "eta": 0.5,
        "beta": 0.9,
        "MAX_ITEM_LIST_LENGTH": 4,
        "train_neg_sample_args": None,
    }
    config = Config(
        "SASRec", "tiny", config_dict=settings | {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
    )
    dataset = create_dataset(config)
    batch = dataset.build()[0].inter_feat
    seq, length = batch["item_id_list"], batch["item_length"]
    found = {}
    for name in ("mask", "inverse", "crop", "reorder"):
        config["transform"] = f"{name}_itemseq"
        transform = construct_transform(config)
        found |= transform(dataset, batch.repeat(1)).interaction
    assert (found["Mask_item_id_list"] == torch.where(seq > 0, dataset.item_num, 0)).all()
    assert torch.equal(found["Pos_item_id"].sort(dim=1).values, seq.sort(dim=1).values)
    assert torch.equal(found["Reorder_item_id_list"].sort(dim=1).values, seq.sort(dim=1).values)
    assert torch.equal(found["Crop_item_id_listitem_length"], length // 2)
    assert torch.equal((found["Crop_item_id_list"] > 0).sum(dim=1), length // 2)
    assert torch.equal(found["Inverse_item_id_list"][length == 2][:, -2:], seq[length == 2][:, :2])
    config["transform"] = "flip_itemseq"
    with pytest.raises(NotAvailable, match="flip_itemseq"):
        construct_transform(config)
