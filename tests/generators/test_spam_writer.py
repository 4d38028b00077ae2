"""The files of a spam attack: metadata, reproducibility, and rejected attacks."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from spam_logs import RATIO, TASKS, attack, clean_log

from recbole.generators.artefact_names import fraud_metadata_name, fraud_name
from recbole.generators.bandwagon import n_fake
from recbole.generators.imitation import CleanBaskets
from recbole.generators.spam_writer import SpamWriter
from recbole.generators.usual_filters import INTERVALS
from recbole.utils import UserError

KEYS = ["dataset", "attack_type", "target_item_strategy", "poisoning_ratio", "original_{}", "fraud_{}"]
KEYS += ["target_items", "n_target_items", "seed", "artifact_sha256", "source_sha256"]


@pytest.mark.parametrize("name", TASKS)
def test_the_metadata(data, tmp_path, name):
    report, fake, metadata = attack(data, name, tmp_path)
    kind = "sessions" if TASKS[name] == "SBR" else "users"
    clean = clean_log(data, name)
    usual = "[5,inf)" if name == "ratings" else "[0,inf)"
    filters = {"MIN_NBR_BASKET_COUNT": 4} if name == "baskets" else dict.fromkeys(INTERVALS, usual)
    at = KEYS.index("seed")
    assert list(metadata) == [key.format(kind) for key in (*KEYS[:at], *filters, *KEYS[at:])]
    assert filters.items() <= metadata.items()
    n_real = {"baskets": 50}.get(name, 300)
    assert (metadata[f"original_{kind}"], metadata[f"fraud_{kind}"]) == (n_real, n_fake(RATIO, n_real))
    assert metadata["artifact_sha256"] == hashlib.sha256(report["paths"][0].read_bytes()).hexdigest()
    assert metadata["source_sha256"] == hashlib.sha256(clean.path.read_bytes()).hexdigest()
    said = metadata["dataset"], metadata["poisoning_ratio"], metadata["n_target_items"], metadata["seed"]
    assert said == (name, RATIO, 5, 2)
    assert [path.name for path in report["paths"]] == [
        fraud_name(name, TASKS[name], RATIO, 2),
        fraud_metadata_name(name, RATIO, 2),
    ]
    assert all(type(item) is str for item in metadata["target_items"])
    on_targets = fake["item_id"].isin(metadata["target_items"]).sum()
    assert (report["rows"], report["target_rows"], report["items"]) == (
        len(fake),
        on_targets,
        fake["item_id"].nunique(),
    )


def test_the_seed_determines_the_targets(data, tmp_path):
    one, other = (attack(data, "sessions", tmp_path, ratio)[2] for ratio in (0.01, 0.2))
    assert one["target_items"] == other["target_items"]
    assert attack(data, "sessions", tmp_path, seed=3)[2]["target_items"] != one["target_items"]


def test_files_do_not_depend_on_hash_seed_locale_and_time_zone(data, tmp_path):
    script = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from spam_logs import TASKS, attack
for name in TASKS: attack(Path(sys.argv[2]), name, Path(sys.argv[3]))
"""
    settings = [("0", "C", "UTC"), ("1", "tr_TR.UTF-8", "Asia/Kolkata")]
    outs = [tmp_path / seed for seed, _, _ in settings]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(Path(__file__).parent), data, out],
            env=os.environ | {"PYTHONHASHSEED": seed, "LC_ALL": locale, "TZ": zone, "OMP_NUM_THREADS": "1"},
        )
        for out, (seed, locale, zone) in zip(outs, settings, strict=True)
    ]
    assert [process.wait() for process in running] == [0, 0]
    for name in TASKS:
        attack(data, name, tmp_path / "here")
    written = [{path.name: path.read_bytes() for path in out.iterdir()} for out in (*outs, tmp_path / "here")]
    assert len(written[0]) == 8 and written[0] == written[1] == written[2]


def test_an_attack_with_other_settings_is_not_overwritten_without_the_flag(data, tmp_path):
    writer = SpamWriter(clean_log(data, "sessions"), tmp_path, "sessions")
    path, metadata_path = writer.write(RATIO, 2, 5)["paths"]
    before = path.read_bytes()
    writer.check(RATIO, 2, 5)
    writer.write(RATIO, 2, 5)
    assert path.read_bytes() == before
    with pytest.raises(UserError, match="promotes 5 items, not 6; add --overwrite"):
        writer.check(RATIO, 2, 6)
    writer.check(RATIO, 2, 6, overwrite=True)
    writer.check(RATIO, 3, 6)
    told = json.loads(metadata_path.read_text())
    metadata_path.write_text(json.dumps(told | {"source_sha256": "0"}))
    with pytest.raises(UserError, match=r"was made from other data than .* now holds; add --overwrite"):
        writer.check(RATIO, 2, 5)
    for damage in (
        lambda: metadata_path.write_text("[" * 100_000),
        metadata_path.unlink,
        lambda: os.mkfifo(metadata_path),
    ):
        damage()
        with pytest.raises(UserError, match="are missing or damaged; add --overwrite"):
            writer.check(RATIO, 2, 5)


@pytest.mark.parametrize("at", [0, 1])
def test_a_kill_between_the_two_files_leaves_no_mismatched_pair(data, tmp_path, at):
    """The same command succeeds afterwards, and so does one with other settings."""
    writer = SpamWriter(clean_log(data, "sessions"), tmp_path, "sessions")
    path, described = writer.write(RATIO, 2, 6)["paths"]
    child = os.fork()
    if child == 0:
        real, moved = os.replace, []

        def replace(source, target):
            if Path(target).parent == tmp_path:
                if len(moved) == at:
                    os.kill(os.getpid(), 9)
                moved.append(target)
            real(source, target)

        os.replace = replace
        writer.write(RATIO, 2, 5)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert not path.exists() and json.loads(described.read_text())["n_target_items"] == (5 if at else 6)
    for number in (5, 6):
        writer.check(RATIO, 2, number)
    whole = writer.write(RATIO, 2, 5)["paths"]
    assert sorted(tmp_path.iterdir()) == sorted(whole)
    assert json.loads(described.read_text())["artifact_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_baskets_for_another_filter_are_not_overwritten_without_the_flag(data, tmp_path):
    path = data / "baskets" / "baskets_merged.json"
    SpamWriter(CleanBaskets(path, 5), tmp_path, "baskets").write(RATIO, 2, 5)
    SpamWriter(CleanBaskets(path, 5), tmp_path, "baskets").check(RATIO, 2, 5)
    with pytest.raises(UserError, match="was made with MIN_NBR_BASKET_COUNT 5, not 4; add --overwrite"):
        SpamWriter(CleanBaskets(path), tmp_path, "baskets").check(RATIO, 2, 5)
    with pytest.raises(UserError, match=r"only 0 of .* are left after filtering with --MIN_NBR_BASKET_COUNT 99"):
        CleanBaskets(path, 99)


def test_at_most_a_hundred_fakes_for_each_real_profile(data, tmp_path):
    writer = SpamWriter(clean_log(data, "sessions"), tmp_path, "sessions")
    writer.check(0.99, 2, 5)
    with pytest.raises(
        UserError, match=r"0\.99999999: 29,999,999,700 fake sessions are more than 100 times the 300 real"
    ):
        writer.check(0.99999999, 2, 5)


@pytest.mark.parametrize("ratio", [0, 1, -0.1, 1.5, float("nan")])
def test_impossible_fractions_are_rejected(data, tmp_path, ratio):
    with pytest.raises(UserError, match="must be between 0 and 1"):
        SpamWriter(clean_log(data, "sessions"), tmp_path, "sessions").check(ratio, 2, 5)


@pytest.mark.parametrize("number", [0, -1, 21])
def test_impossible_numbers_of_targets_are_rejected(data, tmp_path, number):
    log = clean_log(data, "sessions")
    assert len(log.unpopular) < 21
    with pytest.raises(UserError, match=f"--n_target_items {number}: must be from 1 to {len(log.unpopular)}"):
        SpamWriter(log, tmp_path, "sessions").check(RATIO, 2, number)
