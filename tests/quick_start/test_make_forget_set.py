"""The program make_forget_set.py: forget sets, spam, messages and errors."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recbole.quick_start.main import make_forget_set_main, train_main
from recbole.scenario.files.forget_set_reader import read_forget_set

SCRIPT = Path(__file__).parents[2] / "make_forget_set.py"
SENSITIVE = ("--dataset", "tiny", "--sensitive_category", "horror", "--unlearning_fraction", "0.05")
SPAM = ("--dataset", "tiny", "--spam", "--n_target_items", "3")
FRAUD = "tiny_fraud_sessions_bandwagon_unpopular_ratio_0.01_seed_2.inter"


@pytest.fixture
def place(world, tmp_path):
    """Small data without the forget set that the tests create."""
    made = world(tmp_path)
    made.forget_set.unlink()
    return made


@pytest.fixture
def make(place, monkeypatch, capsys):
    """A function that runs make_forget_set.py on the small data in this process."""

    def done(*arguments):
        monkeypatch.chdir(place.folder)
        capsys.readouterr()
        try:
            status = make_forget_set_main(list(arguments))
        except SystemExit as stop:  # argparse exits like this
            status = stop.code
        out, err = capsys.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return done


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_forget_set_is_sampled_with_a_summary(place, make):
    told = make(*SENSITIVE, "--seed", "2", "3")
    assert told.status == 0, told.err
    for seed in (2, 3):
        name = f"tiny_unlearn_pairs_sensitive_category_horror_seed_{seed}_unlearning_fraction_0.05.inter"
        chosen = read_forget_set(place.data / name, "CF")
        users = set(chosen.entities)
        of_these = {
            (user, item) for user, item, _ in place.rows if user in users and item in {f"i{n}" for n in range(6)}
        }
        assert set(zip(chosen.entities, chosen.items, strict=True)) == of_these
        line = next(line for line in told.out.splitlines() if name in line)
        numbers = line.split()
        assert numbers[:5] == [
            str(seed),
            "0.05",
            str(len(users)),
            str(len(of_these)),
            str(len({i for _, i in of_these})),
        ]
        assert float(numbers[5]) == pytest.approx(len(of_these) / len(place.rows), rel=0.05)
    commands = re.findall(r"python (\w+\.py .*)", told.out)
    assert [command.split()[0] for command in commands] == ["run_recbole.py", "run_recbole.py", "unlearn.py"]
    assert all("--sensitive_category horror --unlearning_fraction 0.05" in command for command in commands[1:])
    before = files(place.data)
    assert "(unchanged)" in make(*SENSITIVE).out and files(place.data) == before
    assert "(REPLACES another draw)" in make(*SENSITIVE, "--stopping_rule", "B").out


def test_all_categories_and_fractions(place, make):
    (place.data / "sensitive_products_war.txt").write_text("i9\ni10\n")
    told = make("--dataset", "tiny", "--sensitive_category", "all", "--unlearning_fraction", "0.05", "0.1")
    assert told.status == 0 and len(list(place.data.glob("tiny_unlearn_pairs_*"))) == 4


def test_a_set_too_small_for_any_user_is_reported(place, make):
    told = make(*SENSITIVE[:-1], "0.0001")
    assert told.status == 0 and "EMPTY" in told.out and "next" not in told.out
    told = make(*SENSITIVE[:-1], "0.0001", "0.05", "--seed", "3")
    assert "EMPTY" in told.out and told.out.count("--unlearning_fraction 0.05") == 2
    assert "--unlearning_fraction 0.0001" not in told.out


def test_the_printed_next_commands_work(place, make):
    usual, own = "configs/config_bpr.yaml", "my own.yaml"
    (place.folder / "configs").mkdir()
    (place.folder / "d s").mkdir()
    data = place.data.rename(place.folder / "d s" / "tiny")
    (data / "sensitive_asins_so so.txt").write_text("i0\ni1\n")
    for name in (usual, own):
        (place.folder / name).write_text("epochs: 1\n")
    asked = {"dataset": "tiny", "data_path": "d s", "sensitive_category": "so so", "unlearning_fraction": "0.01"}
    for given, expected in (([own], [usual, own]), ([usual, own], [usual, own]), ([own, usual], [own, usual])):
        told = make(*(word for key, value in asked.items() for word in (f"--{key}", value)), "--config_files", *given)
        assert told.status == 0, told.err
        train, *others = (shlex.split(command) for command in re.findall(r"python \w+\.py (.*)", told.out))
        at = train.index("--config_files") + 1
        assert train[at : at + 3] == [*expected, "--seed"] and train.count("d s") == 1
        assert all(words[words.index("--sensitive_category") + 1] == "so so" for words in others) and len(others) == 2


def test_spam_is_generated_with_a_summary(place, make):
    told = make(*SPAM)
    assert told.status == 0, told.err
    metadata = json.loads((place.data / FRAUD.replace("sessions", "metadata").replace(".inter", ".json")).read_text())
    rows = (place.data / FRAUD).read_text().splitlines()
    assert rows[0] == "user_id:token\titem_id:token\ttimestamp:float"
    assert f"1 fake users (3.23% of all with them), {len(rows) - 1} interactions" in told.out
    assert f"promoted: {' '.join(metadata['target_items'])}" in told.out and str(place.data.name) in told.out
    assert told.out.count("--spam --n_target_items 3 --unlearning_fraction 0.01") == 3


def test_spam_is_not_overwritten_without_the_flag(place, make):
    assert make(*SPAM).status == 0
    before = files(place.data)
    assert make(*SPAM).status == 0 and files(place.data) == before
    told = make(*SPAM[:-1], "2", "--seed", "7", "2")
    assert told.status == 2 and "promotes 3 items, not 2; add --overwrite" in told.err
    assert files(place.data) == before
    assert make(*SPAM[:-1], "2", "--overwrite").status == 0 and files(place.data) != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--dataset"),
        (("--dataset", "tiny"), "either --sensitive_category, such as horror, or --spam"),
        ((*SPAM, "--sensitive_category", "horror"), "either --sensitive_category, such as horror, or --spam"),
        ((*SPAM, "--rating_threshold", "0"), "--rating_threshold belongs to the sensitive scenario"),
        ((*SENSITIVE, "--n_target_items", "0"), "--n_target_items belongs to the spam scenario"),
        ((*SPAM, "--min_baskets", "2"), "--min_baskets belongs to the sensitive scenario"),
        (
            (*SENSITIVE, "--min_baskets", "2"),
            r"--min_baskets 2 applies only to NBR: .*tiny.inter \(CF\) has no baskets",
        ),
        ((*SENSITIVE, "--min_baskets", "x"), "argument --min_baskets: invalid int value: 'x'"),
        (SENSITIVE[:-2], "--unlearning_fraction, such as 0.001"),
        ((*SENSITIVE[:-1], "0.1", "1.5"), "--unlearning_fraction must be between 0 and 1, not 1.5"),
        ((*SENSITIVE[:-1], "0"), "must be between 0 and 1, not 0.0"),
        ((*SENSITIVE[:-1], "much"), "argument --unlearning_fraction: invalid float value: 'much'"),
        ((*SPAM, "--unlearning_fraction", "0.1", "1"), r"\(--unlearning_fraction\) must be between 0 and 1, not 1.0"),
        ((*SPAM, "--seed", "-1"), r"--seed should be an integer from 0 to 2\^63 - 1, not -1"),
        ((*SENSITIVE, "--seed", "2", "9" * 26), rf"--seed should be an integer from 0 to 2\^63 - 1, not {'9' * 26}"),
        ((*SPAM, "--unlearning_fraction", "0.99999999"), "are more than 100 times the 30 real ones"),
        ((*SPAM, "--MIN_NBR_BASKET_COUNT", "-1"), "MIN_NBR_BASKET_COUNT"),
        ((*SPAM[:-1], "30"), "30: must be from 1 to 7, the number of items in the least popular fifth"),
        ((*SENSITIVE, "--rating_threshold", "3"), "no ratings, which a rating threshold"),
        (
            ("--dataset", "tini", *SPAM[2:]),
            r"no data set 'tini': looked for dataset/tini/tini.inter and .*mean 'tiny'\?",
        ),
        (("--dataset", "tafeng", *SPAM[2:]), "'erase-bench prepare tafeng' creates it"),
        (("--dataset", "nowp_test", *SPAM[2:]), "'erase-bench prepare nowp --subset 0.01' creates it"),
        (("--dataset", "tafeng_1000", *SPAM[2:]), "'erase-bench prepare tafeng --subset 1000' creates it"),
        ((*SPAM, "--task_type", "NBR"), "tiny_merged.json, found only .*tiny.inter; omit --task_type"),
        ((*SENSITIVE[:3], "horor", *SENSITIVE[4:]), "no list of sensitive items .* did you mean 'horror'"),
        (
            (*SENSITIVE[:3], "horror", "empty", *SENSITIVE[4:]),
            "no interaction with an item of 'empty' can be forgotten",
        ),
        ((*SPAM, "--targets", "3"), "unrecognized arguments: --targets 3"),
        ((*SPAM, "--config_files", "none.yaml"), "none.yaml"),
    ],
)
def test_errors_are_one_line_and_nothing_is_written(place, make, arguments, message):
    (place.data / "sensitive_asins_empty.txt").write_text("nowhere\n")
    before = files(place.folder)
    told = make(*arguments)
    assert (told.status, told.out) == (2, "")
    assert re.match(rf"make_forget_set\.py: .*{message}.*\n$", told.err) and told.err.count("\n") == 1, told.err
    assert files(place.folder) == before


def test_a_folder_without_data_is_an_error(place, make):
    (place.folder / "dataset" / "bad").mkdir()
    told = make("--dataset", "bad", *SPAM[2:])
    assert told.status == 2 and "dataset/bad has no data: looked for dataset/bad/bad.inter and " in told.err
    assert "did you mean" not in told.err


def test_a_list_in_another_format_is_an_error(place, make):
    folder = place.folder / "dataset" / "shop"
    folder.mkdir()
    baskets = {str(user): [[item, user % 3] for item in range(4, 10)] for user in range(9)}
    (folder / "shop_merged.json").write_text(json.dumps(baskets))
    (folder / "sensitive_asins_odd.txt").write_text("1\n5\n")
    stale = folder / "shop_unlearn_pairs_sensitive_category_odd_seed_2_unlearning_fraction_0.05.pkl"
    stale.touch()
    asked = ("--dataset", "shop", "--sensitive_category", "odd", "--unlearning_fraction", "0.1", "0.05")
    told = make(*asked)
    assert told.status == 2 and f"{stale.relative_to(place.folder)} exists, and would be read as the same" in told.err
    assert set(folder.iterdir()) == {stale, folder / "shop_merged.json", folder / "sensitive_asins_odd.txt"}
    stale.unlink()
    assert make(*asked).status == 0 and stale.with_suffix(".json").is_file()


@pytest.fixture
def shop(place):
    """Nine users with six baskets of one of the items 4 to 9 and one of 0 to 2.

    Every third user also has item 1 in all of them.
    """
    folder = place.folder / "dataset" / "shop"
    folder.mkdir()
    baskets = {str(user): [[item, user % 3] for item in range(4, 10)] for user in range(9)}
    (folder / "shop_merged.json").write_text(json.dumps(baskets))
    for category in ("odd", "odd_repeated"):
        (folder / f"sensitive_asins_{category}.txt").write_text("1\n5\n")
    return folder


SHOP = ("--dataset", "shop", "--unlearning_fraction", "0.05", "0.5")


def test_sets_of_repeated_items(shop, make):
    told = make(*SHOP, "--sensitive_category", "odd_repeated", "--min_baskets", "2")
    assert told.status == 0, told.err
    assert "odd_repeated: 2 items listed, 18 interactions may be forgotten" in told.out
    stem = "shop_unlearn_pairs_sensitive_category_odd_repeated_seed_2_unlearning_fraction"
    small, large = (read_forget_set(shop / f"{stem}_{share}.inter", "NBR") for share in (0.05, 0.5))
    assert set(large.entities) == {"1", "4", "7"} and set(large.items) == {"1"}
    assert len(small.entities) == 1 and large.entities[0] == small.entities[0]
    before = files(shop)
    assert "(unchanged)" in make(*SHOP, "--sensitive_category", "all", "--min_baskets", "2").out
    assert files(shop) == before


def test_min_baskets_of_one_selects_all_items(shop, make):
    assert make(*SHOP, "--sensitive_category", "all").status == 0
    before = files(shop)
    assert len(before) == 3 + 2 and make(*SHOP, "--sensitive_category", "odd", "--min_baskets", "1").status == 0
    assert files(shop) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("odd", "--min_baskets", "0"), "--min_baskets must be 1 or more, not 0"),
        (("odd", "--min_baskets", "7"), "no interaction with an item of 'odd' can be forgotten"),
        (("odd_repeated",), "the forget sets of 'odd_repeated' are for repeated items: set --min_baskets 2"),
        (("odd_repeated", "--min_baskets", "1"), "the forget sets of 'odd_repeated' are for repeated items"),
    ],
)
def test_errors_about_baskets_are_one_line(shop, make, arguments, message):
    before = files(shop)
    told = make(*SHOP, "--sensitive_category", *arguments)
    assert (told.status, told.out) == (2, "") and message in told.err and told.err.count("\n") == 1
    assert files(shop) == before


def test_sets_of_repeated_items_have_other_names(shop, make):
    assert make(*SHOP, "--sensitive_category", "odd").status == 0
    told = make(*SHOP, "--sensitive_category", "odd", "--min_baskets", "2")
    assert told.status == 2 and ".json exists, and would be read as the same forget set as " in told.err


def test_the_command_in_the_hint_of_a_run_makes_a_set_of_repeated_items(shop, place, make, capsys):
    assert make(*SHOP, "--sensitive_category", "odd").status == 0  # which enters the folder
    asked = ("--sensitive_category", "odd_repeated", "--unlearning_fraction", "0.3")
    run = ("--model", "DNNTSP", "--dataset", "shop", "--tensorboard", "False")
    capsys.readouterr()
    assert train_main([*run, *asked, "--retrain_checkpoint_idx_to_match", "3"]) == 2
    hint = capsys.readouterr().err.partition("make it with: python make_forget_set.py ")[2].partition(";")[0]
    assert "--min_baskets 2" in hint
    told = make(*shlex.split(hint))
    assert told.status == 0 and list(shop.glob("*odd_repeated*_0.3.inter")), told.err


def test_the_filters_of_a_run_are_used(place, make):
    (place.folder / "own.yaml").write_text('item_inter_num_interval: "[9,inf)"\n')
    metadata = place.data / "tiny_fraud_metadata_bandwagon_unpopular_ratio_0.01_seed_2.json"
    for more, users, items in (
        ((), "[5,inf)", "[5,inf)"),
        (("--config_files", "own.yaml"), "[5,inf)", "[9,inf)"),
        (("--config_files", "own.yaml", "--user_inter_num_interval", "[0,inf)"), "[0,inf)", "[9,inf)"),
    ):
        told = make(*SPAM, "--overwrite", *more)
        assert told.status == 0, told.err
        found = json.loads(metadata.read_text())
        assert (found["user_inter_num_interval"], found["item_inter_num_interval"]) == (users, items)
    train = "train    python run_recbole.py --model BPR --dataset tiny --config_files configs/config_bpr.yaml own.yaml"
    assert f"{train} --seed 2 --user_inter_num_interval '[0,inf)' --spam" in told.out
    assert make(*SPAM).status == 2
    told = make(*SENSITIVE, "--user_inter_num_interval", "[0,inf)")
    assert "--user_inter_num_interval belongs to the spam scenario" in told.err


def test_without_lists_of_sensitive_items_there_is_an_error(place, make):
    (place.data / "sensitive_asins_horror.txt").unlink()
    told = make("--dataset", "tiny", "--sensitive_category", "all", "--unlearning_fraction", "0.1")
    assert told.status == 2 and "there is no list of sensitive items" in told.err


def test_the_task_is_inferred_from_the_files(place, make, write_inter):
    draw = np.random.default_rng(0)
    rows = [(s // 3, s, item, 100 * s + n) for s in range(60) for n, item in enumerate(draw.integers(0, 30, 5))]
    write_inter(
        place.folder / "dataset", rows, "user_id:token session_id:token item_id:token timestamp:float", "visits"
    )
    assert "visits (SBR): 60 sessions" in make("--dataset", "visits", *SPAM[2:]).out
    assert "describes spam for another task than CF" in make("--dataset", "visits", *SPAM[2:], "--task_type", "CF").err
    assert "visits (CF): 20 users" in make("--dataset", "visits", *SPAM[2:], "--task_type", "CF", "--overwrite").out
    folder = place.folder / "dataset" / "visits"
    baskets = {str(user): [draw.integers(0, 30, 4).tolist() for _ in range(5)] for user in range(20)}
    (folder / "visits_merged.json").write_text(json.dumps(baskets))
    assert "choose one with --task_type" in make("--dataset", "visits", *SPAM[2:]).err
    told = make("--dataset", "visits", *SPAM[2:], "--task_type", "NBR", "--overwrite")
    assert told.status == 0, told.err
    assert "visits (NBR): 20 users" in told.out
    (fraud,) = folder.glob("visits_fraud_baskets_*.json")
    assert set(json.loads(fraud.read_text())) == {"20"}


def test_columns_can_have_other_names(place, make, write_inter):
    rows = [(user, item, time) for user, item, time in place.rows]
    write_inter(place.folder / "elsewhere", rows, "who:token what:token when:float", "named")
    (place.folder / "named.yaml").write_text("USER_ID_FIELD: who\nITEM_ID_FIELD: what\nTIME_FIELD: when\n")
    where = ("--dataset", "named", "--data_path", "elsewhere", "--config_files", "named.yaml")
    told = make(*where, *SPAM[2:])
    assert told.status == 0, told.err
    fraud = place.folder / "elsewhere" / "named" / FRAUD.replace("tiny", "named")
    assert fraud.read_text().startswith("who:token\twhat:token\twhen:float\n")
    assert "--config_files configs/config_bpr.yaml named.yaml --seed 2 --data_path elsewhere" in told.out


@pytest.mark.parametrize("asked", [("--sensitive_category", "horror", "--unlearning_fraction", "0.05"), ("--spam",)])
def test_the_hint_of_a_run_on_columns_under_other_names_works(place, make, write_inter, capsys, asked):
    data = write_inter(place.folder / "dataset", place.rows, "who:token what:token when:float", "named").parent
    (place.data / "sensitive_asins_horror.txt").rename(data / "sensitive_asins_horror.txt")
    columns = "USER_ID_FIELD: who\nITEM_ID_FIELD: what\nTIME_FIELD: when\nload_col: {inter: [who, what, when]}\n"
    (place.folder / "named.yaml").write_text(f"{columns}tensorboard: False\n")
    files = ("--config_files", "named.yaml", "--n_target_items", "3", "--retrain_checkpoint_idx_to_match", "3")
    assert make(*SPAM).status == 0  # which enters the folder
    capsys.readouterr()
    assert train_main(["--dataset", "named", *files, *asked]) == 2
    hint = capsys.readouterr().err.partition("make it with: python make_forget_set.py ")[2]
    assert "--config_files named.yaml" in hint
    told = make(*shlex.split(hint))
    assert told.status == 0, told.err


def test_users_of_30music_need_three_sensitive_and_three_other_rows(place, make, write_inter):
    rows = [("few", f"i{n}", n) for n in range(5)] + [("many", f"i{n}", n) for n in range(6)]
    data = write_inter(place.folder / "dataset", rows, dataset="30music").parent
    (data / "sensitive_asins_explicit.txt").write_text("i0\ni1\ni2\n")
    told = make("--dataset", "30music", "--sensitive_category", "explicit", "--unlearning_fraction", "1")
    assert told.status == 0 and "3 items listed, 3 interactions may be forgotten" in told.out
    (chosen,) = data.glob("*_unlearn_pairs_*")
    assert set(read_forget_set(chosen, "SBR").entities) == {"many"}


def test_the_script_runs(place):
    ran = [
        subprocess.run(
            [sys.executable, SCRIPT, *arguments],
            cwd=place.folder,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        for arguments in (("--help",), (*SENSITIVE[:3], "horor", *SENSITIVE[4:]))
    ]
    assert [done.returncode for done in ran] == [0, 2]
    for word in ("python make_forget_set.py --dataset ml-100k --spam", "Exit status", "--stopping_rule"):
        assert word in ran[0].stdout
    assert ran[1].stderr.count("\n") == 1 and ran[1].stdout == ""
