"""`benchmarks/attribute.py`: its commands, and its tables of attacks before and after attribute unlearning."""

import importlib
from pathlib import Path

import pytest

from recbole.utils import UserError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """A function: ``benchmark(name)`` imports a script of the benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def arguments(benchmark, tmp_path):
    """A function that parses a command line for cells in the benchmark's own file."""
    words = ["--work", str(tmp_path / "work"), "--data", str(tmp_path / "data")]
    return lambda *more: benchmark("attribute").parse_args([*words, *more])


@pytest.fixture
def made(arguments, benchmark):
    """A function that creates an empty checkpoint file where a step would write it."""

    def make(args, step):
        name = "model_best.pth" if step == "base" else "model_unlearn_epoch_0_retrain_checkpoint_idx_to_match_3.pth"
        path = benchmark("attribute").folder_of(args, args.cells["NeuMF"], 2, step) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    return make


def settings_of(words):
    """Return the settings in a command line as a dictionary."""
    return dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)


# --- which commands --------------------------------------------------------------------------------------------------
def test_the_base_comes_first_and_every_method_is_attacked(benchmark, arguments):
    args = arguments("--only", "NeuMF", "--attributes", "gender", "--parts", "inside", "--seeds", "3")
    names = [step.name for _, _, _, _, step in benchmark("attribute").wanted(args)]
    assert names[:4] == ["base", "gender base attack", "gender d2d", "gender d2d attack"]
    assert {name for name in names if name.endswith("attack")} == {
        f"gender {m} attack" for m in ("base", *args.methods)
    }


def test_parts_that_run_for_one_seed_use_the_first(benchmark, arguments):
    args = arguments("--only", "LightGCN", "--methods", "d2d")
    seeds = {part: set() for part in args.parts}
    for part, _, seed, _, _ in benchmark("attribute").wanted(args):
        seeds[part].add(seed)
    assert seeds == {"inside": {2, 3, 5, 7, 11}, "share": {2}, "null": {2}}


def test_cells_that_must_be_requested_do_not_run_by_default(arguments):
    assert not [name for name in arguments().cells if "released" in name]
    assert list(arguments("--only", "NeuMF released").cells) == ["NeuMF released"]


def test_a_cell_that_refers_to_another_has_its_settings(arguments):
    cells = arguments().cells
    million, first = cells["NeuMF 1M"].settings, cells["NeuMF"].settings
    assert million["mf_embedding_size"] == first["mf_embedding_size"] and million["epochs"] == first["epochs"]
    assert (million["dataset"], first["dataset"]) == ("ml-1m_receraser", "ml-100k")


def test_methods_start_from_the_base_of_their_seed(benchmark, arguments, made):
    attribute, args = benchmark("attribute"), arguments("--only", "NeuMF")
    base, cell = made(args, "base"), args.cells["NeuMF"]
    first, method = (attribute.steps_of(args, "inside", "age")[at] for at in (0, 2))
    trained, unlearned = (settings_of(attribute.command(args, cell, 2, step)) for step in (first, method))
    assert unlearned["base_checkpoint"] == str(base) and unlearned["attribute"] == "age"
    assert (unlearned["protect_batches"], unlearned["attack_seeds"]) == ("1", "0")
    assert "attribute" not in trained and "protect_batches" not in trained
    assert trained["checkpoint_dir"] != unlearned["checkpoint_dir"]
    assert {s["eval_args"] for s in (trained, unlearned)} == {"{mode: uni99, order: TO, split: {LS: valid_and_test}}"}


def test_the_base_is_attacked_on_the_protected_share_of_users(benchmark, arguments, made):
    attribute, args = benchmark("attribute"), arguments("--only", "NeuMF", "--attributes", "gender")
    base, other = made(args, "base"), made(args, "gender d2d share")
    steps = {step.name: step for step in attribute.steps_of(args, "share", "gender")}
    words = attribute.command(args, args.cells["NeuMF"], 2, steps["gender base share attack"])
    assert str(base) in words and words[words.index("--protected_of") + 1] == str(other)
    assert steps["gender u2u share"].settings["protect_fraction"] == 0.6


def test_an_attack_on_a_missing_checkpoint_gives_a_message(benchmark, arguments):
    attribute, args = benchmark("attribute"), arguments("--only", "NeuMF")
    with pytest.raises(UserError, match="0 checkpoints"):
        attribute.checkpoint_of(args, args.cells["NeuMF"], 2, "gender d2d")


def test_steps_that_need_a_failed_step_are_skipped(benchmark, arguments, monkeypatch):
    attribute, tried = benchmark("attribute"), []
    args = arguments("--only", "NeuMF", "--attributes", "gender", "--parts", "inside", "--seeds", "2")

    def once(args, words, result):
        tried.append(result.stem)
        if "d2d" in result.stem:
            return 1
        result.write_text("{}")
        return 0

    monkeypatch.setattr(attribute, "once", once)
    monkeypatch.setattr(attribute, "checkpoint_of", lambda *about: Path("there.pth"))
    attribute.run_all(args)
    assert "NeuMF_2_gender_d2d" in tried and "NeuMF_2_gender_d2d_attack" not in tried
    assert "NeuMF_2_gender_u2u_attack" in tried


# --- the tables ------------------------------------------------------------------------------------------------------
def attacked(value, population, view="gmf", model="base"):
    """Return a result row of an attack."""
    ends = {"low": value - 0.05, "high": value + 0.05}
    about = {"split": "gender", "metric": "attack_auc", "view": view, "model": model, "population": population}
    return about | {"value": value, "k": None} | ends


def scored(value, model):
    """Return a result row of utility."""
    about = {"split": "test", "population": "all", "minus": None, "k": 10, "model": model, "view": "all"}
    return [about | {"metric": f"{metric}against", "value": value} for metric in ("hit", "ndcg")]


def record(*rows):
    return {"metrics": list(rows)}


def cells_of(text, beginning):
    """Return the first row of a table that begins with some cells, as column name to cell."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
    for at, line in enumerate(lines):
        if line[: len(beginning)] == beginning:
            header = next(lines[above - 1] for above in range(at, 0, -1) if set(lines[above][0]) == {"-"})
            return dict(zip(header, line, strict=True))
    return None


@pytest.fixture
def records():
    """Results of a base with two seeds, of d2d with one of them, and of the reference values."""
    of = {("inside", "NeuMF", "gender", seed, "base"): record(*scored(0.5 + seed / 10, "base")) for seed in (0, 1)}
    for seed in (0, 1):
        key = "inside", "NeuMF", "gender", seed, "gender base attack"
        of[key] = record(attacked(0.7 + seed / 10, "inside/mlp"))
    of["inside", "NeuMF", "gender", 0, "gender d2d"] = record(*scored(0.5, "base"), *scored(0.4, "unlearned"))
    of["inside", "NeuMF", "gender", 1, "gender d2d"] = None
    of["share", "NeuMF", "gender", 0, "gender d2d share attack"] = record(
        attacked(0.3, "inside/worst", "any"), attacked(0.71, "inside/adaptive", "any")
    )
    of["null", "NeuMF", "gender", 0, "gender base null attack"] = record(
        attacked(0.7, "inside/mlp"),
        attacked(0.5, "inside/mlp/shuffled"),
        attacked(0.52, "inside/mlp", model="untrained"),
    )
    return of


@pytest.fixture
def shown(benchmark, records, tmp_path):
    """The tables of these results."""
    return benchmark("attribute_tables").tables(records, tmp_path / "table.md")


def test_utility_is_that_of_the_model_of_the_step(shown):
    assert cells_of(shown, ["NeuMF", "", "base"])["HR@10"] == "0.550 ± 0.071"
    assert cells_of(shown, ["NeuMF", "gender", "d2d"])["NDCG@10"] == "0.400"


def test_a_cells_file_chooses_the_utility_columns(benchmark, arguments, records, tmp_path):
    assert arguments().utility == {"HR@10": "hitagainst", "NDCG@10": "ndcgagainst"}
    baskets = arguments("--cells", str(BENCHMARKS / "attribute_baskets.yaml"))
    assert list(baskets.utility) == ["Recall@10", "NDCG@10"] and baskets.attributes == ["income", "age"]
    shown = benchmark("attribute_tables").tables(records, tmp_path / "one.md", {"hits": "hitagainst"})
    line = cells_of(shown, ["NeuMF", "", "base"])
    assert line["hits"] == "0.550 ± 0.071" and "NDCG@10" not in line


def test_attackers_have_columns_with_intervals(shown):
    assert cells_of(shown, ["NeuMF", "gender", "base", "gmf", "2"])["mlp"] == "0.750 ± 0.071 [0.70, 0.80]"
    assert cells_of(shown, ["NeuMF", "gender", "inside", "adaptive"])["d2d"] == "0.710 [0.66, 0.76]"


def test_each_value_is_shown_next_to_that_of_shuffled_groups(shown):
    assert cells_of(shown, ["NeuMF", "gender", "base", "gmf", "0.700, null [0.45, 0.55]"]) is not None
    assert cells_of(shown, ["NeuMF", "gender", "untrained", "gmf"])["mlp"] == "0.520"


def test_missing_steps_are_listed_and_the_csv_has_all_rows(shown, tmp_path):
    assert "Not run of inside, NeuMF: 1 steps." in shown
    assert (tmp_path / "table.csv").read_text().count("attack_auc") == 7


def test_the_csv_gives_the_same_tables_again(benchmark, records, shown, tmp_path):
    tables = benchmark("attribute_tables")
    earlier = tables.read_long(tmp_path / "table.csv")
    again = {key: earlier.get((key[1], *key[3:])) for key in records}
    assert tables.tables(again, tmp_path / "again.md") == shown
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()


def test_results_of_earlier_runs_are_used_where_the_work_folder_has_none(benchmark, arguments, records, tmp_path):
    attribute, tables = benchmark("attribute"), benchmark("attribute_tables")
    words = ("--only", "NeuMF", "--attributes", "gender", "--seeds", "0", "--earlier", str(tmp_path / "table.csv"))
    tables.tables(records, tmp_path / "table.md")
    key = "inside", "NeuMF", "gender", 0, "gender base attack"
    found = attribute.records_of(arguments(*words))
    assert tables.areas(found[key])[0]["value"] == 0.7 and found["inside", "NeuMF", "gender", 0, "gender u2u"] is None
    newer = attribute.result_path(arguments(*words), arguments().cells["NeuMF"], 0, "gender base attack")
    newer.parent.mkdir(parents=True)
    newer.write_text('{"metrics": []}')
    assert attribute.records_of(arguments(*words))[key] == {"metrics": []}
