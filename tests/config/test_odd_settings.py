"""Odd settings: any value or file is either accepted, or rejected with a one-line error."""

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recbole.config import Config
from recbole.utils import UserError, launcher

_TEXT = st.text(st.characters(exclude_categories=[]), max_size=8)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | _TEXT | st.just("n" * 300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_KEYS = ("state", "topk", "metrics", "eval_args", "epochs", "embedding_size", "seed", "load_col", "train_batch_size",
         "learning_rate", "val_interval", "gpu_id", "checkpoint_dir", "train_neg_sample_args", "hf_token")  # fmt: skip


def _one_line(error):
    assert str(error).count("\n") == 0 and len(str(error)) < 2000


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(_KEYS), _VALUES)
@example("load_col", [{"a": "n" * 3000}])
@example("learning_rate", 10**400)
def test_any_value_is_accepted_or_gives_a_one_line_error(key, value):
    try:
        Config("BPR", "ml-100k", config_dict={key: value, "use_gpu": False})
    except UserError as error:
        _one_line(error)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=40) | st.text("[]{}&*ab:, \n-", max_size=40))
def test_any_file_is_accepted_or_gives_a_one_line_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("odd") / "x.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    try:
        Config("BPR", "ml-100k", path, config_dict={"use_gpu": False})
    except UserError as error:
        assert "x.yaml" in str(error)


def _refused(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        Config("BPR", "ml-100k", path)
    _one_line(error.value)
    return str(error.value).replace(str(path), "x.yaml")


def test_a_repeated_key_is_an_error_that_names_both_lines(tmp_path):
    assert (
        _refused(tmp_path, "epochs: 1\nseed: 3\nepochs: 2\n")
        == "x.yaml, lines 1 and 3: 'epochs' is set twice; remove one"
    )
    assert "lines 3 and 4" in _refused(tmp_path, "epochs: 1\neval_args:\n  order: TO\n  order: RO\n")
    with pytest.raises(UserError, match="set twice"):
        Config("BPR", "ml-100k", command_line={"eval_args": "{order: TO, order: RO}"})


def test_a_key_from_a_yaml_merge_can_be_overridden(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("user_shares: &one {order: TO}\neval_args: {<<: *one, order: RO}\n")
    assert Config("BPR", "ml-100k", path, config_dict={"use_gpu": False})["eval_args"]["order"] == "RO"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("metrics: &a [*a]\n", "contains itself"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested more than 50 deep"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 50 deep"),
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)), "100000"),
        ('checkpoint_dir: "a\\0b"\n', "NUL"),
        ("state: DEBUGG\n", "DEBUG, INFO"),
        (f"train_batch_size: {10**30}\n", "2^31"),
        (f"topk: {10**30}\n", "topk"),
    ],
)
def test_odd_files_are_rejected(tmp_path, text, told):
    assert told in _refused(tmp_path, text)


@pytest.mark.parametrize("environment", [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "x"}, {"WORLD_SIZE": "-1"}])
def test_an_incomplete_environment_of_a_launcher_is_rejected(monkeypatch, environment):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="WORLD_SIZE"):
        launcher.launched()


def test_ordinary_files_are_read_as_by_yaml(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump({"topk": [5, 10], "metrics": ["Recall"], "learning_rate": 0.5}))
    config = Config("BPR", "ml-100k", path, config_dict={"use_gpu": False})
    assert (config["topk"], config["metrics"], config["learning_rate"]) == ([5, 10], ["Recall"], 0.5)
