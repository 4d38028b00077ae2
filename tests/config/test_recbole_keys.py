"""Every setting of RecBole 1.2.1: it works, gives a warning, or is rejected by name."""

import pytest

from recbole.config import Config, layers
from recbole.config.identity import deciding
from recbole.config.recbole_keys import HARMLESS, REFUSED
from recbole.utils import UserError


def words(text):
    return text.split()


IMPLEMENTED = words("""
gpu_id use_gpu seed reproducibility state data_path checkpoint_dir show_progress
epochs train_batch_size learner learning_rate train_neg_sample_args eval_step stopping_step clip_grad_norm weight_decay
enable_amp enable_scaler
eval_args repeatable metrics topk valid_metric valid_metric_bigger eval_batch_size metric_decimal_place tail_ratio
field_separator seq_separator USER_ID_FIELD ITEM_ID_FIELD RATING_FIELD TIME_FIELD LABEL_FIELD threshold NEG_PREFIX
ITEM_LIST_LENGTH_FIELD LIST_SUFFIX MAX_ITEM_LIST_LENGTH load_col rm_dup_inter val_interval filter_inter_by_user_or_item
user_inter_num_interval item_inter_num_interval normalize_field normalize_all benchmark_filename
shuffle transform alias_of_user_id alias_of_item_id
""")
REFUSED_UNLESS_DEFAULT = words("""
require_pow unload_col unused_col additional_feat_suffix preload_weight discretization
numerical_features seq_len encoding alias_of_entity_id alias_of_relation_id
dataset_save_path dataloaders_save_path kg_reverse_r entity_kg_num_interval relation_kg_num_interval nproc world_size
""")
DOES_NOTHING = words("""
worker loss_decimal_place log_wandb wandb_project save_dataset save_dataloaders neg_sampling training_neg_sample_num
POSITION_FIELD HEAD_ENTITY_ID_FIELD TAIL_ENTITY_ID_FIELD RELATION_ID_FIELD ENTITY_ID_FIELD ip port
group_offset offset local_rank
""")
OTHER = {
    "require_pow": True, "unload_col": {"inter": ["timestamp"]},
    "unused_col": {"inter": ["timestamp"]}, "additional_feat_suffix": ["link"], "preload_weight": {"a": "b"},
    "discretization": {"age": 3}, "numerical_features": ["age"], "seq_len": {"genre": 3}, "encoding": "latin-1",
    **{f"alias_of_{what}_id": ["x"] for what in ("entity", "relation")},
    "dataset_save_path": "d.pth", "dataloaders_save_path": "l.pth", "kg_reverse_r": True,
    "entity_kg_num_interval": "[5,inf)", "relation_kg_num_interval": "[5,inf)", "nproc": 2, "world_size": 2,
}  # fmt: skip
WAYS = ("file", "dict", "command line")


def configured(tmp_path, way, key, value):
    """Return a configuration with one key set, in a file, on the command line or as a dictionary entry."""
    if way == "file":
        path = tmp_path / "x.yaml"
        path.write_text(f"{key}: {value!r}\n".replace("None", "null"))
        return Config("BPR", "ml-100k", config_file_list=[path])
    if way == "dict":
        return Config("BPR", "ml-100k", config_dict={key: value})
    return Config("BPR", "ml-100k", command_line={key: str(value)})


def test_the_lists_are_complete():
    assert sorted(REFUSED) == sorted(REFUSED_UNLESS_DEFAULT) == sorted(OTHER)
    assert sorted(HARMLESS) == sorted(DOES_NOTHING)
    overall = layers.packaged("overall.yaml").values
    assert set(IMPLEMENTED) <= set(overall) and not set(overall) & {*REFUSED, *HARMLESS}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("key", REFUSED_UNLESS_DEFAULT)
def test_unsupported_settings_that_change_results_are_rejected_by_name(tmp_path, way, key):
    with pytest.raises(UserError) as error:
        configured(tmp_path, way, key, OTHER[key])
    told = str(error.value)
    assert told.startswith(f"{key} (") and f"RecBole's {key} is not available: " in told and "\n" not in told
    assert ("x.yaml, line 1" if way == "file" else way) in told
    default, _ = REFUSED[key]
    assert not configured(tmp_path, way, key, default).warnings


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("key", DOES_NOTHING)
def test_settings_without_effect_give_a_warning(tmp_path, way, key):
    (line,) = configured(tmp_path, way, key, "other").warnings
    assert f"RecBole's '{key}' does nothing here: " in line
    default, _ = HARMLESS[key]
    assert not configured(tmp_path, way, key, default).warnings


def test_a_model_may_define_a_setting_with_such_a_name(monkeypatch):
    declared = layers.Layer("default: model/BPR.yaml", {"require_pow": False, "embedding_size": 64})
    plain = layers.packaged
    monkeypatch.setattr(layers, "packaged", lambda name: declared if name == "model/BPR.yaml" else plain(name))
    assert Config("BPR", "ml-100k", config_dict={"require_pow": True})["require_pow"] is True
    assert Config("Unknown", "ml-100k", config_dict={"require_pow": True})["require_pow"] is True


ERASES = """
USER_ID_FIELD: user_id
ITEM_ID_FIELD: item_id
RATING_FIELD: rating
TIME_FIELD: timestamp
load_col: {inter: [user_id, item_id, rating, timestamp]}
threshold: {rating: 3}
treshold: {rating: 3}
normalize_all: True
min_user_inter_num: 5
training_batch_size: 512
train_batch_size: 512
loss: BPR
early_stop: 10
eval_args:
  split: {RS: [0.8, 0.1, 0.1]}
  order: TO
  group_by: user
  mode: full
  metrics: [Recall, NDCG]
  topk: [10, 20]
  valid_metric: NDCG@10
"""


def test_erases_configuration_files_work_with_warnings_for_unused_keys(tmp_path):
    path = tmp_path / "config_bpr.yaml"
    path.write_text(ERASES)
    config = Config("BPR", "ml-100k", config_file_list=[path])
    told = "\n".join(config.warnings)
    for key in ("threshold", "treshold", "min_user_inter_num", "training_batch_size", "loss", "early_stop"):
        assert f"'{key}'" in told
    assert "'valid_metric' inside eval_args does nothing" in told
    without = Config("BPR", "ml-100k", config_file_list=[path], config_dict={"threshold": None})
    assert deciding(config, "BPR") == deciding(without, "BPR"), "without labels the setting has no effect"
    labels = {"eval_args": {"mode": "labeled"}}
    assert deciding(Config("BPR", "ml-100k", [path], labels), "BPR")["threshold"] == {"rating": 3}
