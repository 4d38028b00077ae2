"""Spam attacks from training to evaluation in each task, with the documented commands."""

import contextlib
import hashlib
import io
import json
import shlex
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_tasks import furnish_clean, histories, inside, write

from recbole.config import Config
from recbole.data import create_dataset
from recbole.model import get_model
from recbole.quick_start.main import make_forget_set_main, train_main, unlearn_main
from recbole.report.comparison import comparison
from recbole.trainer import Naming

MODELS = {"CF": "BPR", "SBR": "GRU4Rec", "NBR": "DNNTSP"}
FRAUD = {"CF": "sessions", "SBR": "sessions", "NBR": "baskets"}
SPAM = ("--spam", "--unlearning_fraction", "0.1", "--n_target_items", "2")
TARGETS = ["31", "32"]
FAKE = ["9", "200", "1000", "30", "5", "77"]
ORDER = ["5", "9", "30", "77", "200", "1000"]


def furnish(folder, task):
    """Write the data set ``tiny``, an attack on it and ``tiny.yaml`` into a folder."""
    data, field = furnish_clean(folder, task)
    end = "bandwagon_unpopular_ratio_0.1_seed_2"
    fraud = data / f"tiny_fraud_{FRAUD[task]}_{end}.{'json' if task == 'NBR' else 'inter'}"
    write(fraud, task, field, histories(FAKE, 2, (31, 32)))
    told = {"target_items": TARGETS, "n_target_items": 2, "artifact_sha256": sha256(fraud)}
    described = data / f"tiny_fraud_metadata_{end}.json"
    described.write_text(json.dumps(told))
    return SimpleNamespace(folder=folder, task=task, fraud=fraud, described=described, saved=folder / "saved")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def words(place, *arguments):
    return ["--model", MODELS[place.task], "--dataset", "tiny", "--config_files", "tiny.yaml", *arguments]


def run(place, main, *arguments):
    """Run a program in this process; return the exit status and the output."""
    err = io.StringIO()
    with inside(place.folder) as out, contextlib.redirect_stderr(err):
        status = main(words(place, *arguments))
    return SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue())


@pytest.fixture(scope="module", params=list(MODELS))
def chain(request, tmp_path_factory):
    """The results of all commands in one folder, with the files on disk after each."""
    place = furnish(tmp_path_factory.mktemp(request.param), request.param)
    place.told, place.disk = {}, {}
    for name, main, arguments in (
        ("clean", train_main, ()),
        ("base", train_main, SPAM),
        ("retrained", train_main, (*SPAM, "--retrain_checkpoint_idx_to_match", "3")),
        ("unlearned", unlearn_main, (*SPAM, "--unlearning_algorithm", "scif")),
    ):
        place.told[name] = run(place, main, *arguments, "--result_file", f"{name}.json")
        assert place.told[name].status == 0, place.told[name].err
        assert place.told[name].err == ""
        place.disk[name] = on_disk(place)
    place.records = {name: json.loads((place.folder / f"{name}.json").read_text()) for name in place.disk}
    place.names = Naming(MODELS[place.task], "tiny", 2, "unlearning_fraction_0.1_n_target_items_2", planted=True)
    return place


def on_disk(place):
    return {path.name: sha256(path) for path in place.saved.iterdir()}


def tensors(path):
    return torch.load(path, weights_only=True)["state_dict"]


def data_of(place):
    """Return the clean and the poisoned data, and the configuration bound to the model's class."""
    config = Config(MODELS[place.task], "tiny", [place.folder / "tiny.yaml"],
                    config_dict={"data_path": str(place.folder / "dataset")})  # fmt: skip
    model = get_model(MODELS[place.task])
    config.bind_model(model)
    clean = create_dataset(config, model.type)
    return clean, clean.with_spam(place.fraud), config


def values(place, name, model, **about):
    """Return ``{(metric, k): value}`` of the rows of genuine users in a record."""
    wanted = {"model": model, "view": "clean", "population": "all", "minus": None} | about
    rows = [r for r in place.records[name]["metrics"] if all(r[key] == value for key, value in wanted.items())]
    assert len({(row["metric"], row["k"]) for row in rows}) == len(rows)
    return {(row["metric"], row["k"]): row["value"] for row in rows}


# --- files -----------------------------------------------------------------------------------------------------------
def test_file_names_are_those_of_erase_and_nothing_is_overwritten(chain):
    run = f"model_{MODELS[chain.task]}_seed_2_dataset_tiny"
    spam = "unlearning_fraction_0.1_n_target_items_2"
    base, index = f"{run}_{spam}_best", "retrain_checkpoint_idx_to_match"
    new = {
        "clean": [f"{run}_best"],
        "base": [base],
        "retrained": [f"{run}_{index}_3_{spam}{end}" for end in ("", "_same_epoch")] + [f"{run}_{spam}_retrained_best"],
        "unlearned": [
            f"{run}_{spam}_unlearning_algorithm_scif_unlearn_epoch_{last}_{index}_{r}"
            for r, last in enumerate((1, 3, 4, 5))
        ],
    }  # fmt: skip
    before = {}
    for name, stems in new.items():
        after = chain.disk[name]
        assert set(after) - set(before) == {f"{stem}{end}" for stem in stems for end in (".pth", ".json")}
        assert {key: after[key] for key in before} == before
        before = after
    logged = {path.name for path in (chain.folder / "log").glob("*.npz")}
    stems = [*new["base"], f"{base}_clean", new["retrained"][0], *new["unlearned"]]
    assert logged == {f"{stem}_interaction_probabilities.npz" for stem in stems}


def test_records_describe_the_attack(chain):
    clean, poisoned, _ = data_of(chain)
    assert chain.records["clean"]["spam"] is None
    about = {
        "sha256": sha256(chain.fraud), "fake_entities": 6, "target_items": TARGETS,
        "fake_interactions": len(poisoned.log) - len(clean.log),
    }  # fmt: skip
    assert all(chain.records[name]["spam"] == about for name in ("base", "retrained", "unlearned"))
    mask = {"forget_set_sha256": sha256(chain.fraud), "requests_done": 6}
    assert chain.records["base"]["mask"] is None
    assert chain.records["retrained"]["mask"] == chain.records["unlearned"]["mask"] == mask
    assert chain.records["unlearned"]["requests"]["total"] == 6


def test_each_request_is_one_fake_user_with_all_rows_in_numeric_order(chain):
    stem = chain.names.unlearning_stem("scif")
    lines = (chain.folder / "log" / f"{stem}.requests.jsonl").read_text().splitlines()
    requests = [json.loads(line) for line in lines]
    assert [request["entity"] for request in requests] == ORDER
    _, poisoned, _ = data_of(chain)
    users = poisoned.log.vocabulary["user"].ids(ORDER)
    assert [request["rows"] for request in requests] == np.diff(poisoned.log.offsets)[users].tolist()


# --- models ----------------------------------------------------------------------------------------------------------
def test_the_retrained_model_equals_the_clean_one_unless_a_user_table_is_initialised_first(chain):
    """BPR initialises its user table before the item table, and spam makes it longer.

    The other models have no such table.
    """
    clean, retrained = (tensors(chain.saved / name) for name in (
        f"model_{MODELS[chain.task]}_seed_2_dataset_tiny_best.pth", chain.names.retrained(3),
    ))  # fmt: skip
    if chain.task == "CF":
        assert len(retrained["user_embedding.weight"]) == len(clean["user_embedding.weight"]) + 6
        return
    assert clean.keys() == retrained.keys() and all(torch.equal(clean[name], retrained[name]) for name in clean)
    assert values(chain, "retrained", "retrained") == values(chain, "unlearned", "clean")


def test_a_fake_users_row_is_set_to_the_retrained_models(chain):
    """A fake user forgets everything. In a model with user rows, SCIF changes only these rows."""
    counts = {key: chain.records["unlearned"]["requests"][key] for key in ("applied", "reinitialised", "timeout")}
    if chain.task != "CF":
        assert counts == {"applied": 6, "reinitialised": 0, "timeout": 0}
        return
    assert counts == {"applied": 0, "reinitialised": 6, "timeout": 0}
    assert "6 reinitialised" in chain.told["unlearned"].out
    unlearned = tensors(chain.saved / f"{chain.names.unlearning_stem('scif')}_unlearn_epoch_5_"
                        "retrain_checkpoint_idx_to_match_3.pth")  # fmt: skip
    base, retrained = (tensors(chain.saved / name) for name in (chain.names.base(), chain.names.retrained(3)))
    _, poisoned, _ = data_of(chain)
    fakes = poisoned.log.vocabulary["user"].ids(FAKE)
    tables = [state["user_embedding.weight"] for state in (base, unlearned, retrained)]
    assert torch.equal(tables[1][fakes], tables[2][fakes]) and not torch.equal(tables[0][fakes], tables[2][fakes])
    genuine = np.setdiff1d(np.arange(len(tables[0])), fakes)
    assert torch.equal(tables[1][genuine], tables[0][genuine])


def test_the_copied_file_is_the_retrained_model(chain):
    best = chain.names.retrained_best()
    one, other = tensors(chain.saved / best), tensors(chain.saved / chain.names.retrained(3))
    assert all(torch.equal(one[name], other[name]) for name in other)
    record = json.loads((chain.saved / best).with_suffix(".json").read_text())
    assert record["copy_of"] == chain.names.retrained(3)


# --- recommendations for genuine users -------------------------------------------------------------------------------
def scores_of(chain, path, dataset, forgotten):
    """Return the scores of a saved model for the clean test rows; masked candidates are left out."""
    clean, _, config = data_of(chain)
    model = get_model(MODELS[chain.task])(config, dataset.masked(forgotten))
    model.load_state_dict(tensors(path))
    asked = clean.eval_rows("test")
    with torch.no_grad():
        model.eval()
        scores = model.full_sort_predict(asked.inputs[0 : len(asked.entity)]).view(len(asked.entity), -1).double()
    scores[:, 0] = -torch.inf
    for row in range(len(scores)):
        scores[row, asked.history.values[asked.history.offsets[row] : asked.history.offsets[row + 1]]] = -torch.inf
    return scores, asked, clean


def test_the_target_metrics_equal_those_of_the_saved_models(chain):
    clean, poisoned, _ = data_of(chain)
    nothing = np.zeros(len(poisoned.log), dtype=bool)
    fake = np.arange(len(poisoned.log)) >= len(clean.log)
    last, prefix = chain.names.unlearned("scif", 5, 3), f"model_{MODELS[chain.task]}_seed_2_dataset_tiny"
    for name, kind, path, dataset, mask, log, checkpoint in (
        ("base", "base", chain.names.base(), poisoned, nothing, chain.names.base(), None),
        ("retrained", "retrained", chain.names.retrained(3), poisoned, fake, chain.names.retrained(3), 3),
        ("unlearned", "unlearned", last, poisoned, fake, last, 3),
        ("unlearned", "clean", f"{prefix}_best.pth", clean, nothing[: len(clean.log)],
         chain.names.base().replace(".pth", "_clean.pth"), None),
    ):  # fmt: skip
        scores, asked, _ = scores_of(chain, chain.saved / path, dataset, mask)
        targets = clean.log.vocabulary["item"].ids(TARGETS)
        found = values(chain, name, kind, checkpoint=checkpoint)
        for k in (10, 20):
            top = scores.topk(k, dim=1)
            shown = (np.isin(top.indices, targets) & (top.values.numpy() > -np.inf)).sum(axis=1)
            assert found["target_hit_rate", k] == pytest.approx(np.mean(shown > 0))
            assert found["target_exposure", k] == pytest.approx(np.mean(shown / k))
        possible = scores[:, targets] > -torch.inf
        rank = 1 + (scores[:, None, :] > scores[:, targets, None]).sum(dim=2)
        assert found["target_rank", None] == pytest.approx(rank[possible].double().mean().item())
        log_p = scores.log_softmax(dim=1)[:, targets]
        assert found["target_log_probability", None] == pytest.approx(log_p[possible].mean().item(), abs=1e-5)
        kept = np.load(chain.folder / "log" / log.replace(".pth", "_interaction_probabilities.npz"))
        assert kept["probability"].dtype == np.float32
        np.testing.assert_allclose(kept["probability"], log_p.exp().numpy(), rtol=1e-4)
        assert np.array_equal(kept["user"], asked.entity) and np.array_equal(kept["target"], targets)
        assert np.array_equal(kept["positive"], asked.positives.values) and kept["target_token"].tolist() == TARGETS
        assert np.array_equal(kept["positive_offset"], asked.positives.offsets)
        assert (kept["user"] < clean.n_users).all(), "genuine users only"


def test_every_model_has_rows_and_differences(chain):
    record = chain.records["unlearned"]
    # in CF only the rows of fake users change, which does not count as work of the algorithm
    assert ("speedup_over_retraining" in record["timing"]) == (chain.task != "CF")
    of_base = values(chain, "base", "base")
    for checkpoint in range(4):
        assert values(chain, "unlearned", "base", checkpoint=checkpoint) == of_base
    distances = [row for row in record["metrics"] if row["metric"] == "js_divergence" and row["population"] == "others"]
    assert {row["n_rows"] for row in distances} == {30} and all(row["value"] >= 0 for row in distances)
    table = comparison([chain.folder / "unlearned.json"]).table
    assert table["model"].tolist() == [*["clean", "base", "unlearned"] * 4, "retrained", "retrained_same_epoch"]
    last = table[table["checkpoint"] == 3].set_index("model")
    for kind in ("base", "clean"):
        assert last.loc[kind, "target rank"] == pytest.approx(
            values(chain, "unlearned", kind, checkpoint={"base": 3}.get(kind))["target_rank", None]
        )
        assert last.loc[kind, "Recall@10"] >= 0
    assert (
        not table[["Recall@10", "NDCG@10", "target HR@10", "target HR@20", "target exposure@10"]].isna().any(axis=None)
    )
    assert set(table["view"]) == {"clean"} and not table[["target rank", "target log p"]].isna().any(axis=None)
    assert "Promoted items, genuine users, base model: mean rank" in chain.told["base"].out
    for kind in ("clean", "base", "unlearned"):
        assert f"[Top-10] Promoted items, genuine users, {kind} model: hit rate" in chain.told["unlearned"].out
    assert "spam: 6 fake users (or sessions), " in chain.told["base"].out
    assert "6 requests, " in chain.told["unlearned"].out


def test_only_the_utility_of_all_rows_includes_fake_users(chain):
    rows = [r for r in chain.records["base"]["metrics"] if (r["metric"], r["k"], r["split"]) == ("recall", 10, "test")]
    counts = {row["view"]: row["n_rows"] for row in rows}
    clean, poisoned, _ = data_of(chain)
    assert counts == {"all": len(poisoned.eval_rows("test").entity), "clean": len(clean.eval_rows("test").entity)}
    assert counts["all"] > counts["clean"]


def test_target_metrics_have_intervals_and_differences_from_the_retrained_model(chain):
    clean, _, _ = data_of(chain)
    people = len(np.unique(clean.eval_rows("test").entity))
    rows = [row for row in chain.records["unlearned"]["metrics"] if row["view"] == "clean"]
    assert all(row["low"] - 1e-9 <= row["value"] <= row["high"] + 1e-9 for row in rows)
    assert {row["n_people"] for row in rows} == {people}
    kinds = Counter((row["model"], row["checkpoint"]) for row in rows if row["minus"] == "retrained")
    assert set(kinds) == {(kind, 3) for kind in ("base", "unlearned", "retrained_same_epoch")}
    retrained = values(chain, "unlearned", "retrained", checkpoint=3)
    for kind in ("base", "unlearned"):
        own = values(chain, "unlearned", kind, checkpoint=3)
        assert values(chain, "unlearned", kind, checkpoint=3, minus="retrained") == pytest.approx(
            {about: own[about] - retrained[about] for about in retrained}, abs=1e-9
        )
    assert {row["reference"].split()[0] for row in rows if row["minus"]} == {chain.names.retrained(3)}


# --- errors -------------------------------------------------------------------------------------------------
@pytest.fixture
def place(tmp_path):
    return furnish(tmp_path, "CF")


@pytest.fixture
def told(place):
    """A function: ``told(script, *arguments)`` runs a program in this process; it returns (status, error text)."""

    def done(script, *arguments):
        done = run(place, train_main if script == "run_recbole.py" else unlearn_main, *arguments)
        return done.status, done.err

    return done


MAKE = (
    "python make_forget_set.py --dataset tiny --spam --unlearning_fraction 0.1 --n_target_items {} "
    "--user_inter_num_interval '[0,inf)' --item_inter_num_interval '[0,inf)' --seed {}"
)


def test_a_missing_attack_stops_every_program_with_the_command_that_creates_it(place, told):
    status, err = told("run_recbole.py", *SPAM, "--seed", "5")
    assert status == 2 and err.count("\n") == 1 and err.endswith(f"make it with: {MAKE.format(2, 5)}\n")
    place.described.unlink()
    status, err = told("run_recbole.py", *SPAM, "--retrain_checkpoint_idx_to_match", "0")
    assert status == 2 and err.endswith(
        f"{place.described.relative_to(place.folder)}; make it with: {MAKE.format(2, 2)}\n"
    )
    assert not place.saved.exists() or not any(place.saved.iterdir())
    status, err = told("unlearn.py", *SPAM)
    assert status == 2 and "there is no such checkpoint" in err


def test_another_number_of_promoted_items_is_an_error(told):
    status, err = told("run_recbole.py", *SPAM[:3], "--n_target_items", "10")
    assert status == 2 and "the spam promotes 2 items, but n_target_items is 10" in err
    assert err.endswith(f"make it again with: {MAKE.format(10, 2)} --overwrite\n")


def test_promoted_items_are_items_of_the_data(place, told):
    place.described.write_text(json.dumps({"target_items": ["31", "nowhere"]}))
    status, err = told("run_recbole.py", *SPAM)
    assert status == 2 and "promotes 'nowhere', which the run's filters remove from the clean data" in err


EVERYTHING = ["--user_inter_num_interval", "[0,inf)", "--item_inter_num_interval", "[0,inf)"]


def furnish_rare(folder, task):
    """Write data in which a fifth of the items occur only once, at the start of a history of four baskets."""
    place = furnish(folder, task)
    rare = {160 + n: [100 + n, *range(1, 11)] for n in range(20)}
    clean = place.fraud.with_name(f"tiny{'_merged.json' if task == 'NBR' else '.inter'}")
    write(clean, task, "session_id" if task == "SBR" else "user_id", histories(range(100, 160), 1) | rare)
    return place


@pytest.mark.parametrize("task", list(MODELS))
def test_the_command_in_the_message_makes_spam_for_the_filter_of_the_run(tmp_path, capsys, task):
    place = furnish_rare(tmp_path, task)
    kept = ["--item_inter_num_interval", "[8,inf)", "--user_inter_num_interval", "[5,inf)"]
    kept, everything = (["--MIN_NBR_BASKET_COUNT", "5"], []) if task == "NBR" else (kept, EVERYTHING)
    spam = ["--spam", "--unlearning_fraction", "0.1", "--n_target_items", "6", "--epochs", "1"]
    with inside(tmp_path):
        assert make_forget_set_main(["--dataset", "tiny", *spam[:-2], *everything, "--overwrite"]) == 0
        capsys.readouterr()
        assert train_main(words(place, *spam, *kept)) == 2
        advice = capsys.readouterr().err.partition("make it again with: python make_forget_set.py ")[2]
        assert make_forget_set_main(shlex.split(advice)) == 0
        assert train_main(words(place, *spam, *kept)) == 0


def test_no_command_is_suggested_for_an_unsupported_filter(tmp_path, capsys):
    place, spam = furnish_rare(tmp_path, "CF"), [*SPAM[:-1], "6"]
    with inside(tmp_path):
        assert make_forget_set_main(["--dataset", "tiny", *spam, *EVERYTHING, "--overwrite"]) == 0
        capsys.readouterr()
        assert train_main(words(place, *spam, "--val_interval", "{timestamp: '[1,inf)'}")) == 2
    told = capsys.readouterr().err
    assert told.endswith("; spam supports no other filters: run without val_interval\n")
    assert "make_forget_set.py" not in told


def test_a_changed_file_is_an_error(place, told):
    place.fraud.write_text(place.fraud.read_text() + "9\t1\t99\n")
    status, err = told("run_recbole.py", *SPAM)
    assert status == 2 and f"artifact_sha256 does not match {place.fraud.relative_to(place.folder)}" in err
