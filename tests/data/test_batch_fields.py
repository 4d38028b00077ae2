"""No two fields of a run have the same name: settings, columns of the file, and columns that batches add."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbole.config import Config
from recbole.data import Negatives, create_dataset
from recbole.data.sampler import in_turn
from recbole.model import get_model
from recbole.utils import InputType, UserError, stream

ROWS = [(f"u{n % 4}", f"i{n * 7 % 10}", n) for n in range(40)]
NAMES = ("user_id", "item_id", "time", "label", "neg_item_id", "item_id_list", "item_length", "example_number", "user")


class Wide(get_model("GRU4Rec")):
    """A model whose batches contain all loaded columns, as in RecBole."""

    trims, input_type = False, InputType.PAIRWISE


MODELS = {name: get_model(name) for name in ("BPR", "NeuMF", "GRU4Rec", "SASRec")} | {"Wide": Wide}


@pytest.fixture
def read(tmp_path, write_inter, config):
    """A function: ``read(model, columns, **settings)`` writes interactions with these columns, and reads them."""

    def make(model, columns="user_id:token item_id:token timestamp:float", **given):
        rows = [(*row, *row[2:] * (len(columns.split()) - 3)) for row in ROWS]
        write_inter(tmp_path, rows, columns)
        return create_dataset(config(tmp_path, MODELS[model], **{"load_col": None, **given}))

    return make


def refused(call, *arguments, **given):
    with pytest.raises(UserError) as error:
        call(*arguments, **given)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"USER_ID_FIELD": "item_id"}, "USER_ID_FIELD (config_dict) and ITEM_ID_FIELD (default: overall.yaml)"),
        ({"NEG_PREFIX": ""}, "ITEM_ID_FIELD (default: overall.yaml) and NEG_PREFIX + ITEM_ID_FIELD (config_dict)"),
        ({"LABEL_FIELD": "user_id"}, "USER_ID_FIELD (default: overall.yaml) and LABEL_FIELD (config_dict)"),
        ({"TIME_FIELD": "rating"}, "TIME_FIELD (config_dict) and RATING_FIELD (default: overall.yaml)"),
    ],
)
def test_settings_that_give_two_fields_one_name_are_rejected_before_the_data_are_read(given, told):
    line = refused(Config, "BPR", "shop", config_dict=given)
    assert line.startswith(f"{told} have the same name, ")


@pytest.mark.parametrize(
    ("model", "given", "told"),
    [
        ("GRU4Rec", {"LIST_SUFFIX": ""}, "ITEM_ID_FIELD + LIST_SUFFIX (config_dict)"),
        ("GRU4Rec", {"ITEM_LIST_LENGTH_FIELD": "item_id"}, "ITEM_LIST_LENGTH_FIELD (config_dict)"),
        ("SASRec", {"ITEM_LIST_LENGTH_FIELD": "item_id_list"}, "ITEM_LIST_LENGTH_FIELD (config_dict)"),
        ("BPR", {"RATING_FIELD": "example_number"}, "the column with the examples' numbers"),
    ],
)
def test_settings_that_clash_with_columns_of_the_batches_are_rejected(read, model, given, told):
    assert told in refused(read, model, **given)


@pytest.mark.parametrize(
    ("model", "column"),
    [("BPR", "neg_item_id"), ("BPR", "example_number"), ("Wide", "item_length"), ("Wide", "item_id_list")],
)
def test_a_column_of_the_file_that_a_batch_would_replace_is_rejected(read, model, column):
    columns = f"user_id:token item_id:token timestamp:float {column}:float"
    assert f"have the same name, {column!r}" in refused(read, model, columns)
    loaded = {"inter": ["user_id", "item_id", "timestamp"]}
    assert column not in read(model, columns, load_col=loaded).columns


@pytest.mark.parametrize("column", ["user:token", "item:float"])
def test_a_second_column_of_users_or_items_does_not_replace_the_ids(read, column):
    name = column.partition(":")[0]
    columns = f"user_id:token item_id:token timestamp:float {column}"
    assert f"set {name.upper()}_ID_FIELD, rename the column" in refused(read, "BPR", columns)


def test_ratings_may_be_the_labels_and_unused_names_may_be_null(read):
    columns = "user_id:token item_id:token timestamp:float rating:float"
    assert read("NeuMF", columns, LABEL_FIELD="rating").label_field == "rating"
    assert read("BPR", columns, LABEL_FIELD=None, RATING_FIELD=None).rating_field is None


def right(data):
    """Return whether the training batches contain the log's users, items, numbers of items, and other negatives."""
    examples = data.train_examples()
    batch = Negatives(data.config, data, data.config["MODEL_INPUT_TYPE"]).add(
        data.collate(examples), in_turn(stream(2, "negatives"))
    )
    n, log = len(examples), data.log
    good = np.array_equal(batch[data.uid_field].numpy()[:n], log.user[examples])
    good &= np.array_equal(batch[data.iid_field].numpy()[:n], log.item[examples])
    if data.task_type == "SBR":
        rows, lengths = data.windows(examples)
        items = batch[data.item_id_list_field].numpy()[:, : rows.shape[1]]
        good &= np.array_equal(items, np.where(rows >= 0, log.item[rows], 0))
        good &= np.array_equal(batch[data.item_list_length_field].numpy(), lengths)
    if data.config["model"] == "NeuMF":
        good &= np.array_equal(batch[data.label_field].numpy(), np.repeat([1.0, 0.0], n))
    if data.config["model"] in ("BPR", "Wide"):
        good &= bool((batch[data.config["NEG_PREFIX"] + data.iid_field] != batch[data.iid_field]).all())
    return good


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    model=st.sampled_from(sorted(MODELS)),
    columns=st.lists(st.sampled_from(NAMES), min_size=4, max_size=5, unique=True),
    given=st.fixed_dictionaries(
        {},
        optional={
            **{key: st.sampled_from(NAMES) for key in ("RATING_FIELD", "LABEL_FIELD", "ITEM_LIST_LENGTH_FIELD")},
            **{"LIST_SUFFIX": st.sampled_from(["", "_list", "_id"]), "NEG_PREFIX": st.sampled_from(["", "neg_", "i"])},
        },
    ),
)
def test_whatever_the_fields_are_called_batches_are_right_or_the_run_is_rejected(read, model, columns, given):
    user, item, time, *others = columns
    header = " ".join([f"{user}:token", f"{item}:token", f"{time}:float", *(f"{name}:float" for name in others)])
    try:
        data = read(model, header, USER_ID_FIELD=user, ITEM_ID_FIELD=item, TIME_FIELD=time, **given)
    except UserError as error:
        assert "same name" in str(error) or "rename the column" in str(error)
    else:
        assert right(data)
