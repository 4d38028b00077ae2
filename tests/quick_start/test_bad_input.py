"""User errors: one line that says what is wrong and where, exit status 2, no traceback, and no new files."""

import io
import json
import os
import pickle
import re

import pytest
import torch

from recbole.trainer import load_checkpoint, save_checkpoint

BASE = "model_BPR_seed_2_dataset_tiny_best.pth"
RETRAINED = (
    "model_BPR_seed_2_dataset_tiny_retrain_checkpoint_idx_to_match_3_unlearning_fraction_0.01_"
    "unlearning_sample_selection_method_sensitive_category_horror.pth"
)
RETRAIN = ("--retrain_checkpoint_idx_to_match", "3")
TRAINS, UNLEARNS = "run_recbole.py", "unlearn.py"


@pytest.fixture(scope="module")
def base(world, here, tmp_path_factory):
    """The bytes of a base checkpoint."""
    place = world(tmp_path_factory.mktemp("base"))
    told = here(place.folder, TRAINS)
    assert told.status == 0, told.err
    return (place.saved / BASE).read_bytes()


@pytest.fixture
def place(world, base, tmp_path):
    """Small data with a base model."""
    made = world(tmp_path)
    made.saved.mkdir()
    (made.saved / BASE).write_bytes(base)
    return made


@pytest.fixture
def refused(place, here):
    """A function that runs a program, checks that it fails without writing to ``saved``, and returns the error line."""

    def check(script, *arguments):
        before = {path: path.read_bytes() for path in place.saved.glob("*")} if place.saved.is_dir() else None
        told = here(place.folder, script, *arguments)
        assert_told(told, script)
        if before is not None:
            assert {path: path.read_bytes() for path in place.saved.glob("*")} == before
        return told.err

    return check


def assert_told(told, script):
    assert told.status == 2, told
    assert told.err.startswith(f"{script}: ") and told.err.count("\n") == 1 and told.err.endswith("\n"), told.err
    assert "Traceback" not in told.out + told.err


def edit(path, change):
    path.write_text(change(path.read_text()))


# --- the data -----------------------------------------------------------------------------------------------------


def test_a_missing_column_is_an_error(place, refused):
    edit(place.data / "tiny.inter", lambda text: text.replace("item_id:token", "product:token", 1))
    assert re.search(r"tiny\.inter.*item_id", refused(TRAINS))


@pytest.mark.parametrize(
    ("line", "told"), [("u00\ti1", "3"), ("u00\ti1\tnoon", "noon"), ("u00\ti1\t5\t6", "3"), ("u00", "3")]
)
def test_a_malformed_line_is_named_by_its_number(place, refused, line, told):
    def change(text):
        lines = text.split("\n")
        return "\n".join([*lines[:7], line, *lines[7:]])

    edit(place.data / "tiny.inter", change)
    message = refused(TRAINS)
    assert "tiny.inter:8" in message and told in message


def test_missing_data_is_an_error(place, refused):
    (place.data / "tiny.inter").unlink()
    assert "tiny.inter" in refused(TRAINS)
    message = refused(TRAINS, "--dataset", "tyni")
    assert "tyni" in message


def test_data_without_rows_before_or_after_filters_is_an_error(place, refused):
    assert "inter_num_interval" in refused(TRAINS, "--user_inter_num_interval", "[1000,inf)")
    edit(place.data / "tiny.inter", lambda text: text.split("\n")[0] + "\n")
    assert "tiny.inter" in refused(TRAINS)


def test_a_user_with_every_item_is_an_error(place, refused):
    edit(place.data / "tiny.inter", lambda text: text + "".join(f"u00\ti{at}\t9{at}\n" for at in range(40)) * 2)
    split = ("--eval_args", "{split: {RS: [1, 0, 0]}}", "--eval_step", "0")
    assert "every item" in refused(TRAINS, *split, "--overwrite")


# --- the command line ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "arguments", "told"),
    [
        (TRAINS, ("--model", "BRP"), "did you mean 'BPR'"),
        (TRAINS, ("--learning_rat", "1"), "did you mean 'learning_rate'"),
        (UNLEARNS, ("--dampin", "1"), "did you mean 'damping'"),
        (UNLEARNS, ("--unlearning_algorithm", "sciff"), "scif"),
        (TRAINS, ("--retrain_checkpoint_idx_to_match", "4"), "--retrain_checkpoint_idx_to_match"),
        (TRAINS, ("--retrain_checkpoint_idx_to_match", "-1"), "--retrain_checkpoint_idx_to_match"),
        (TRAINS, ("--learning_rate", "fast"), "learning_rate"),
        (TRAINS, ("--train_batch_size", "0"), "train_batch_size"),
        (TRAINS, ("--config_files", "none.yaml"), "none.yaml"),
        (TRAINS, ("--task_type", "NBR"), "CF model"),
        (TRAINS, ("--valid_metric", "Recall@x"), "valid_metric"),
        (TRAINS, ("--learner", "adan"), "learner"),
        (TRAINS, ("--clip_grad_norm", "{max: 1}"), "clip_grad_norm"),
        (TRAINS, ("--hf_model_path", "hf://owner/repo/x.pth"), "--eval_only"),
        (TRAINS, ("--hf_model_path", "owner/x.pth", "--eval_only"), "hf://owner/repo"),
        (TRAINS, ("--eval_only", "--seed", "3"), "seed_3"),
        (TRAINS, ("--rmia_out_model_flag",), "not available yet"),
        (UNLEARNS, ("--preset", "tuend"), "did you mean 'tuned'"),
        (
            UNLEARNS,
            ("--preset", "erase", "--unlearning_algorithm", "reset"),
            "only for scif on any model, kookmin on any",
        ),
        (UNLEARNS, ("--model", "Pop"), "Pop"),
    ],
)
def test_invalid_arguments_are_errors(refused, script, arguments, told):
    assert told in refused(script, *arguments)


# --- the forget set -----------------------------------------------------------------------------------------------


def test_a_missing_forget_set_is_an_error(place, refused):
    place.forget_set.unlink()
    make = "python make_forget_set.py --dataset tiny --sensitive_category horror --unlearning_fraction 0.01 --seed 2"
    for script, arguments in ((UNLEARNS, ()), (TRAINS, RETRAIN)):
        assert f"there is no dataset/tiny/{place.forget_set.name}; make it with: {make}\n" in refused(
            script, *arguments
        )
    assert "give a file of your own with --forget_set" in refused(
        UNLEARNS, "--unlearning_sample_selection_method", "mine"
    )
    assert "seed_5" in refused(UNLEARNS, "--forget_set_seed", "5")
    assert "fraction_0.5" in refused(UNLEARNS, "--unlearning_fraction", "0.5")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "forget set|empty|header"),
        ("user_id:token\titem_id:token\n", "the forget set is empty"),
        ("user_id:token\titem_id:token\nnobody\ti1\nu00\tnothing\n", "none of the forget set's"),
        ("user_id:token\tproduct:token\nu00\ti1\n", "item_id"),
        ("user_id:token\titem_id:token\nu00\ti1\nu01\n", r"\.inter:3"),
    ],
)
def test_a_forget_set_without_known_rows_is_an_error(place, refused, content, told):
    place.forget_set.write_text(content)
    for script, arguments in ((UNLEARNS, ()), (TRAINS, RETRAIN)):
        message = refused(script, *arguments)
        assert re.search(told, message), message


def test_unknown_users_are_counted_reported_and_skipped(place, here):
    """Unknown users in the forget set do not change the results of retraining and unlearning."""
    ends = []
    line = "11 requests, {} interactions to forget; not in the data, skipped: 2 users (sessions), 3 (user, item) pairs"
    for strangers in ("", "x\ti1\nu00\tnothing\nz\ti2\n"):  # last in order: streams are keyed by the index
        edit(place.forget_set, lambda text: text + strangers)  # noqa: B023
        for path in place.saved.glob("*retrain*"):
            path.unlink()
        for script, arguments in ((TRAINS, RETRAIN), (UNLEARNS, ("--result_file", "result.json"))):
            told = here(place.folder, script, *arguments)
            assert told.status == 0
            assert (line.format(len(place.asked)) in told.out) == bool(strangers)
        last = next(place.saved.glob("*unlearn_epoch_*_retrain_checkpoint_idx_to_match_3.pth"))
        counts = json.loads((place.folder / "result.json").read_text())["requests"]
        ends.append((counts, *(load_checkpoint(path)["state_dict"] for path in (place.saved / RETRAINED, last))))
    (before, *without), (counts, *found) = ends
    for one, other in zip(without, found, strict=True):
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert (counts["done"], counts["skipped"] - before["skipped"]) == (11, 2)
    assert counts["applied"] == before["applied"] > 5


def test_a_missing_list_or_one_of_unknown_items_is_an_error(place, refused):
    lists = place.data / "sensitive_asins_horror.txt"
    lists.write_text("nothing\n")
    assert "none of the sensitive items of 'horror'" in refused(UNLEARNS)
    lists.unlink()
    assert "sensitive_asins_horror.txt" in refused(UNLEARNS)


# --- checkpoints --------------------------------------------------------------------------------------------------

READS = [(UNLEARNS, ()), (TRAINS, ("--eval_only",))]


@pytest.mark.parametrize(("script", "arguments"), READS)
def test_a_missing_damaged_or_hostile_base_checkpoint_is_an_error(place, refused, base, script, arguments):
    path = place.saved / BASE
    path.unlink()
    assert BASE in refused(script, *arguments)
    for size in (0, 100, len(base) // 2, len(base) - 1):
        path.write_bytes(base[:size])
        assert f"{BASE}: truncated or not a checkpoint" in refused(script, *arguments)
    sentinel = place.folder / "sentinel"
    for hostile in (pickle.dumps(Reduces(sentinel)), torch_file({"state_dict": {}, "x": Reduces(sentinel)})):
        path.write_bytes(hostile)
        assert BASE in refused(script, *arguments)
        assert not sentinel.exists()


def torch_file(state):
    """Return the bytes of ``torch.save``."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


class Reduces:
    """An object whose unpickling would create a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(("script", "arguments"), READS)
def test_a_base_model_of_other_data_or_another_shape(place, refused, script, arguments):
    assert "embedding_size is 8 in the file, 4 in the configuration" in refused(
        script, *arguments, "--embedding_size", "4"
    )
    edit(place.data / "tiny.inter", lambda text: text + "new\ti1\t5\n")
    assert "(32, 8)" in refused(script, *arguments)
    edit(place.data / "tiny.inter", lambda text: text.replace("new\ti1\t5\n", "u00\ti1\t5\n"))
    assert "was trained on other data" in refused(script, *arguments)


def test_a_checkpoint_without_weights_is_an_error(place, refused):
    save_checkpoint(place.saved / BASE, {"config": {}})
    assert "has no entry 'state_dict'" in refused(UNLEARNS)


def test_a_retrained_model_of_another_forget_set_is_an_error_before_any_work(place, refused, here):
    assert here(place.folder, TRAINS, *RETRAIN).status == 0
    edit(place.forget_set, lambda text: text.rsplit("\n", 2)[0] + "\n")
    assert "if the forget set was regenerated since, restore it" in refused(UNLEARNS)


# --- folders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "arguments"), [(TRAINS, ()), (TRAINS, RETRAIN)])
def test_a_file_in_place_of_the_checkpoint_folder_is_an_error(place, refused, script, arguments):
    (place.saved / BASE).unlink()
    place.saved.rmdir()
    place.saved.touch()
    assert "cannot write saved" in refused(script, *arguments)
    assert place.saved.read_bytes() == b""


def test_a_file_in_place_of_the_log_folder_is_an_error(place, refused):
    (place.folder / "log").touch()
    assert "cannot write log" in refused(TRAINS)


@pytest.mark.parametrize("link", ["log", "saved"])
def test_a_link_to_nowhere_in_place_of_a_folder_is_an_error(place, refused, link):
    (place.saved / BASE).unlink()
    place.saved.rmdir()
    (place.folder / link).symlink_to("nowhere/x")
    folder = ("--checkpoint_dir", "saved") if link == "saved" else ()
    assert f": {link} is a link to a place that does not exist" in refused(TRAINS, *folder)


def test_errors_in_separate_processes(place, run):
    """The other tests run programs in this process; here a few errors are checked in separate processes."""
    (place.saved / BASE).write_bytes(b"PK\x03\x04")
    for script, arguments in ((UNLEARNS, ()), (TRAINS, ("--learning_rat", "1"))):
        told = run(place.folder, script, *arguments)
        assert_told(told, script)
    assert os.listdir(place.saved) == [BASE]
