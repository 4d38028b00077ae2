"""Evaluation settings are checked before any work; errors name the file and line."""

import pytest

from recbole.config import Config
from recbole.evaluator import EvalSettings, check_metrics, find_metric, result_name
from recbole.utils import UserError


def bpr(**layers):
    return Config("BPR", "ml-100k", **layers)


def test_equal_settings_compare_equal():
    config = bpr(config_dict={"metrics": ["recall", "MRR"], "topk": [5, 1], "eval_batch_size": 7})
    found = EvalSettings.from_config(config)
    assert found == EvalSettings((find_metric("Recall"), find_metric("MRR")), (5, 1), 7)
    assert hash(found) == hash(EvalSettings.from_config(config))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"valid_metric": "AUD@5"}, "valid_metric (config_dict): there is no metric 'AUD', did you mean 'AUC'?"),
        ({"valid_metric": "AUC@5"}, "valid_metric (config_dict): 'AUC@5' should be of the form AUC"),
        (
            {"valid_metric": "AUC"},
            "AUC compares scores with labels, but the eval_args mode of valid is full, which has no labels",
        ),
        ({"metrics": ["GAUC", "MAE"]}, "metrics (config_dict): MAE compares scores with labels"),
        ({"eval_args": {"mode": "labeled"}}, "Recall ranks candidates, but the eval_args mode of valid is labeled"),
        (
            {"valid_metric": "GiniIndex@5", "valid_metric_bigger": True},
            "valid_metric_bigger (config_dict): for GiniIndex the smaller value is better; leave it out",
        ),
        ({"valid_metric": "Recall"}, "valid_metric (config_dict): 'Recall' should be of the form Recall@10"),
        ({"valid_metric": "Recall@0"}, "'Recall@0' should be of the form Recall@10"),
        ({"metrics": ["Recall", "Recal"]}, "metrics (config_dict): there is no metric 'Recal', did you mean 'Recall'?"),
        ({"metrics": ["Recall", "Recal"]}, "; known: Recall, MRR, NDCG, Hit, Precision"),
    ],
)
def test_invalid_settings_give_a_one_line_error(settings, told):
    with pytest.raises(UserError) as error:
        check_metrics(bpr(config_dict=settings))
    assert told in str(error.value) and "\n" not in str(error.value)


def test_errors_name_the_line_of_the_file(tmp_path):
    (tmp_path / "x.yaml").write_text("seed: 3\nmetrics: [Recal]\n")
    with pytest.raises(UserError, match=r"^metrics \(.*x\.yaml, line 2\): there is no metric 'Recal'"):
        check_metrics(bpr(config_file_list=[tmp_path / "x.yaml"]))


def test_checking_does_not_count_as_reading_a_setting():
    config = bpr(config_dict={"metrics": ["hit"], "valid_metric": "HIT@3", "topk": 3})
    check_metrics(config)
    assert [key for key, _ in config.unread()] == ["metrics", "valid_metric", "topk"]


def test_a_setting_made_by_the_program_has_no_line():
    config = bpr(config_dict={"metrics": ["hit"]})
    config["metrics"] = ["hut"]
    with pytest.raises(UserError, match=r"metrics \(program\): there is no metric 'hut'"):
        check_metrics(config)
    restored = Config.restored(bpr().as_dict(), use_gpu=False)
    assert (restored.where("metrics"), restored.where("use_gpu")) == ("checkpoint", "program")


def test_results_have_recboles_names():
    assert (result_name("recall", 10), result_name("auc", None)) == ("recall@10", "auc")
