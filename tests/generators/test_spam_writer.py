"""Spam as it lies on the disk: what it promotes, how it hides, and that a seed says everything."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recbole.data.atomic import read_atomic
from recbole.generators.artefact_names import fraud_metadata_name, fraud_name
from recbole.generators.bandwagon import n_fake
from recbole.generators.imitation import INTERVALS, CleanBaskets, CleanInteractions, fresh_ids
from recbole.generators.spam_writer import SpamWriter
from recbole.utils import UserError

N_ITEMS, RATIO = 100, 0.2
SESSIONS = "user_id:token session_id:token item_id:token timestamp:float"
RATINGS = "user_id:token item_id:token rating:float timestamp:float"
KEYS = ["dataset", "attack_type", "target_item_strategy", "poisoning_ratio", "original_{}", "fraud_{}"]
KEYS += ["target_items", "n_target_items", "seed", "artifact_sha256", "source_sha256"]


def _profiles(n=300):
    """Yield (profile, item, time) of profiles of 4 to 14 items; the lower an item's number, the more popular."""
    draw = np.random.default_rng(3)
    for profile in range(n):
        items = np.unique((N_ITEMS * draw.random(4 + profile % 11) ** 3).astype(int))
        times = 10**9 + profile * 10**4 + np.cumsum(draw.integers(50, 150, len(items)))
        yield from ((profile, item, time) for item, time in zip(draw.permutation(items), times, strict=True))


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_inter):
    """A ``data_path`` with ratings, sessions with and without users, and baskets."""
    folder, draw = tmp_path_factory.mktemp("spam"), np.random.default_rng(4)
    rows = list(_profiles())
    write_inter(folder, [(f"u{p}", i, draw.integers(1, 6), t) for p, i, t in rows], RATINGS, "ratings")
    write_inter(folder, [(p // 5, 1000 + p, f"i{i}", t) for p, i, t in rows], SESSIONS, "sessions")
    anonymous = "session_id:token item_id:token timestamp:float"
    write_inter(folder, [(f"s{p}", i, t) for p, i, t in rows], anonymous, "anonymous")
    baskets = {}
    for p, i, _ in rows:
        baskets.setdefault(str(p // 6), {}).setdefault(p, []).append(int(i))
    (folder / "baskets").mkdir()
    (folder / "baskets" / "baskets_merged.json").write_text(
        json.dumps({user: list(own.values()) for user, own in baskets.items()})
    )
    return folder


TASKS = {"ratings": "CF", "sessions": "SBR", "anonymous": "SBR", "baskets": "NBR"}
PROFILE = {"ratings": "user_id", "sessions": "session_id", "anonymous": "session_id"}


def clean_log(data, name):
    if name == "baskets":
        return CleanBaskets(data / name / f"{name}_merged.json")
    return CleanInteractions(data / name / f"{name}.inter", TASKS[name])


def attack(data, name, folder, ratio=RATIO, seed=2, n_target_items=5):
    """Return the report, the fake rows (profile, item, ..., in file order; a basket is a profile), the metadata."""
    writer = SpamWriter(clean_log(data, name), folder, name)
    writer.check(ratio, seed, n_target_items)
    report = writer.write(ratio, seed, n_target_items)
    path, metadata = report["paths"]
    return report, rows_of(path), json.loads(metadata.read_text())


def rows_of(path):
    if path.suffix == ".inter":
        return read_atomic(path).table.to_pandas()
    users = json.loads(path.read_text())
    rows = [
        (user, f"{user}/{n}", str(item))
        for user, own in users.items()
        for n, basket in enumerate(own)
        for item in basket
    ]
    return pd.DataFrame(rows, columns=["user_id", "basket", "item_id"])


def fifths(rows, kept=None):
    """Return the most and the least popular fifth of the items, by an obvious loop."""
    counts = Counter(rows["item_id"])
    alike = all(token.isdigit() for token in counts)
    ordered = sorted(counts, key=lambda item: (-counts[item], int(item) if alike else item))
    ordered = [item for item in ordered if kept is None or item in kept]
    return set(ordered[: len(ordered) // 5]), set(ordered[len(ordered) - len(ordered) // 5 :])


def core(rows):
    """Return the items of the 5-core, by an obvious loop."""
    while True:
        users, items = rows["user_id"].value_counts(), rows["item_id"].value_counts()
        good = rows["user_id"].map(users).ge(5) & rows["item_id"].map(items).ge(5)
        if good.all():
            return set(items.index)
        rows = rows[good]


@pytest.mark.parametrize("name", TASKS)
def test_targets_are_unpopular_and_fillers_popular(data, tmp_path, name):
    _, fake, metadata = attack(data, name, tmp_path)
    clean = rows_of(clean_log(data, name).path)
    popular, unpopular = fifths(clean, core(clean) if name == "ratings" else None)
    targets = set(metadata["target_items"])
    assert len(targets) == 5 and targets <= unpopular
    assert set(fake["item_id"]) <= targets | popular and targets & set(fake["item_id"])


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


@pytest.mark.parametrize("name", PROFILE)
def test_sessions_and_users(data, tmp_path, name):
    _, fake, metadata = attack(data, name, tmp_path)
    clean, profile = rows_of(clean_log(data, name).path), PROFILE[name]
    assert list(fake.columns) == list(clean.columns)
    assert not set(fake[profile]) & set(clean[profile]) and fake[profile].nunique() == n_fake(RATIO, 300)
    longest = clean.groupby(profile).size().max()
    for _, own in fake.groupby(profile, sort=False):
        on_target = own["item_id"].isin(metadata["target_items"]).to_numpy()
        assert 4 <= len(own) <= longest
        assert 1 <= on_target.sum() <= (2 if len(own) >= 6 else 1) and not on_target[0] and not on_target[-1]
        assert (own["timestamp"].diff().dropna() >= 1).all()
    assert clean["timestamp"].min() <= fake["timestamp"].min()


def test_ids_continue_the_real_ones(data, tmp_path):
    first_to_last = [str(number) for number in range(1300, 1375)]
    sessions = attack(data, "sessions", tmp_path)[1]
    assert sessions["session_id"].unique().tolist() == sessions["user_id"].unique().tolist() == first_to_last
    assert (sessions["session_id"] == sessions["user_id"]).all()
    users = attack(data, "ratings", tmp_path)[1]["user_id"].unique().tolist()
    assert users == [f"fraud_{number}" for number in range(1, 76)]
    assert attack(data, "baskets", tmp_path)[1]["user_id"].unique().tolist() == [str(n) for n in range(50, 63)]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["3", "20", "007"], ["21", "22"]),
        (["9" * 30], ["1" + "0" * 30, "1" + "0" * 29 + "1"]),
        (["0"], ["1", "2"]),
        (["a", "20"], ["fraud_1", "fraud_2"]),
        (["a", "fraud_9", "fraud_x", "fraud_10", "20"], ["fraud_11", "fraud_12"]),
        (["-5"], ["fraud_1", "fraud_2"]),
    ],
)
def test_fresh_ids(tokens, expected):
    assert fresh_ids(pa.array(tokens), 2).to_pylist() == expected


def test_a_fake_session_never_gets_a_real_user(tmp_path, write_inter):
    rows = [(500 + 2 * (p % 40), p, f"i{i}", t) for p, i, t in _profiles()]  # users 500 to 578, sessions 0 to 299
    write_inter(tmp_path, rows, SESSIONS, "sessions")
    writer = SpamWriter(clean_log(tmp_path, "sessions"), tmp_path, "sessions")
    fake = rows_of(writer.write(0.5, 2, 5)["paths"][0])
    assert set(fake["session_id"]) == set(map(str, range(300, 600)))  # 500 is somebody
    assert set(fake["user_id"]) == set(map(str, range(579, 879)))
    assert fake.groupby("user_id")["session_id"].nunique().max() == 1


def test_ratings_are_plausible(data, tmp_path):
    _, fake, metadata = attack(data, "ratings", tmp_path, ratio=0.5)
    clean = rows_of(clean_log(data, "ratings").path)
    on_target = fake["item_id"].isin(metadata["target_items"])
    assert not fake.duplicated(["user_id", "item_id"]).any()
    assert (fake.loc[on_target, "rating"] == clean["rating"].max()).all()
    observed = set(zip(clean["item_id"], clean["rating"], strict=True))
    fillers = fake[~on_target]
    assert set(zip(fillers["item_id"], fillers["rating"], strict=True)) <= observed
    item = fillers["item_id"].value_counts().index[0]
    real, drawn = clean.loc[clean["item_id"] == item, "rating"], fillers.loc[fillers["item_id"] == item, "rating"]
    assert drawn.mean() == pytest.approx(real.mean(), abs=4 * real.std() / len(drawn) ** 0.5)


def test_baskets_are_sets_with_one_or_two_targets(data, tmp_path):
    _, fake, metadata = attack(data, "baskets", tmp_path, ratio=0.9)
    assert not fake.duplicated(["basket", "item_id"]).any()
    on_target = fake["item_id"].isin(metadata["target_items"]).groupby(fake["basket"]).sum()
    sizes = fake.groupby("basket").size()
    assert (on_target == np.where(sizes >= 5, 2, 1)).all() and (sizes >= 2).all()
    per_user = fake.groupby("user_id")["basket"].nunique()
    assert per_user.between(4, 9).all()  # the real ones have 6: A = 6
    first = fake.groupby("basket")["item_id"].first().isin(metadata["target_items"])
    assert 0.1 < first.mean() < 0.9  # shuffled


def test_what_training_drops_is_not_promoted(tmp_path, write_inter):
    rows = [(f"u{p}", i, 3, t) for p, i, t in _profiles()] + [("u0", 1000 + i, 3, 10**9) for i in range(50)]
    write_inter(tmp_path, rows, RATINGS, "ratings")
    log = clean_log(tmp_path, "ratings")
    assert len(log.tokens) > 140 and not {f"{1000 + i}" for i in range(50)} & set(
        log.tokens.take(pa.array(np.concatenate([log.popular, log.unpopular]))).to_pylist()
    )
    baskets = {str(user): [[user * 4 + n, 39] for n in range(4)] for user in range(10)}
    (tmp_path / "d.json").write_text(json.dumps(baskets | {"99": [[500 + i] for i in range(3)]}))
    log = CleanBaskets(tmp_path / "d.json")
    assert log.n_profiles == 11 and len(log.tokens) == 43
    assert max(map(int, log.tokens.take(pa.array(log.unpopular)).to_pylist())) < 40


@pytest.mark.parametrize(("name", "user"), [("ratings", "user_id"), ("sessions", "session_id")])
def test_the_runs_own_filter_decides_what_is_promoted(data, tmp_path, name, user):
    path, asked = data / name / f"{name}.inter", dict(zip(INTERVALS, ("[7,inf)", "[6,inf)"), strict=True))
    log, rows = CleanInteractions(path, TASKS[name], intervals=asked), rows_of(path)
    assert log.n_profiles == 300, "profiles are counted as they stand in the file"
    writer = SpamWriter(log, tmp_path, name)
    report = writer.write(RATIO, 2, 5)
    fake, everything = rows_of(report["paths"][0]), rows
    while True:  # the core, by an obvious loop
        good = rows[user].map(rows[user].value_counts()).ge(7)
        good &= rows["item_id"].map(rows["item_id"].value_counts()).ge(6)
        if good.all():
            break
        rows = rows[good]
    popular, unpopular = fifths(everything, set(rows["item_id"]))
    assert set(report["targets"]) <= unpopular and set(fake["item_id"]) <= popular | unpopular
    with pytest.raises(UserError, match=r"was made with user_inter_num_interval \[7,inf\), not .*; give --overwrite"):
        SpamWriter(clean_log(data, name), tmp_path, name).check(RATIO, 2, 5)
    writer.check(RATIO, 2, 5)
    spelled = CleanInteractions(
        path, TASKS[name], intervals=dict(zip(INTERVALS, ("[7, inf)", "[6.0,inf)"), strict=True))
    )
    SpamWriter(spelled, tmp_path, name).check(RATIO, 2, 5)
    with pytest.raises(UserError, match="item_inter_num_interval: '5' is not an interval"):
        CleanInteractions(path, TASKS[name], intervals={"item_inter_num_interval": "5"})


def test_one_seed_one_set_of_targets(data, tmp_path):
    one, other = (attack(data, "sessions", tmp_path, ratio)[2] for ratio in (0.01, 0.2))
    assert one["target_items"] == other["target_items"]
    assert attack(data, "sessions", tmp_path, seed=3)[2]["target_items"] != one["target_items"]


def test_hash_seed_locale_and_time_zone_have_no_say(data, tmp_path):
    script = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_spam_writer import TASKS, attack
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


def test_another_attack_is_not_overwritten_unasked(data, tmp_path):
    writer = SpamWriter(clean_log(data, "sessions"), tmp_path, "sessions")
    path, metadata_path = writer.write(RATIO, 2, 5)["paths"]
    before = path.read_bytes()
    writer.check(RATIO, 2, 5)
    writer.write(RATIO, 2, 5)
    assert path.read_bytes() == before
    with pytest.raises(UserError, match="promotes 5 items, not 6; give --overwrite"):
        writer.check(RATIO, 2, 6)
    writer.check(RATIO, 2, 6, overwrite=True)
    writer.check(RATIO, 3, 6)
    told = json.loads(metadata_path.read_text())
    metadata_path.write_text(json.dumps(told | {"source_sha256": "0"}))
    with pytest.raises(UserError, match=r"was made from other data than .* now holds; give --overwrite"):
        writer.check(RATIO, 2, 5)
    metadata_path.unlink()
    with pytest.raises(UserError, match="which would say how it was made, is not; give --overwrite"):
        writer.check(RATIO, 2, 5)


def test_baskets_of_another_filter_are_not_overwritten_unasked(data, tmp_path):
    path = data / "baskets" / "baskets_merged.json"
    SpamWriter(CleanBaskets(path, 5), tmp_path, "baskets").write(RATIO, 2, 5)
    SpamWriter(CleanBaskets(path, 5), tmp_path, "baskets").check(RATIO, 2, 5)
    with pytest.raises(UserError, match="was made with MIN_NBR_BASKET_COUNT 5, not 4; give --overwrite"):
        SpamWriter(CleanBaskets(path), tmp_path, "baskets").check(RATIO, 2, 5)
    with pytest.raises(UserError, match=r"training keeps 0 of .* with --MIN_NBR_BASKET_COUNT 99"):
        CleanBaskets(path, 99)


def test_there_are_at_most_a_hundred_fakes_for_each_real_profile(data, tmp_path):
    writer = SpamWriter(clean_log(data, "sessions"), tmp_path, "sessions")
    writer.check(0.99, 2, 5)
    with pytest.raises(
        UserError, match=r"0\.99999999: 29,999,999,700 fake sessions beside 300 real ones are more than"
    ):
        writer.check(0.99999999, 2, 5)


@pytest.mark.parametrize("ratio", [0, 1, -0.1, 1.5, float("nan")])
def test_impossible_shares(data, tmp_path, ratio):
    with pytest.raises(UserError, match="must be between 0 and 1"):
        SpamWriter(clean_log(data, "sessions"), tmp_path, "sessions").check(ratio, 2, 5)


@pytest.mark.parametrize("number", [0, -1, 21])
def test_impossible_numbers_of_targets(data, tmp_path, number):
    log = clean_log(data, "sessions")
    assert len(log.unpopular) < 21
    with pytest.raises(UserError, match=f"--n_target_items {number}: must be from 1 to {len(log.unpopular)}"):
        SpamWriter(log, tmp_path, "sessions").check(RATIO, 2, number)


@pytest.mark.parametrize(
    ("columns", "row", "task", "message"),
    [
        ("user_id:token item_id:token", "a\tb", "SBR", "there is no column 'timestamp'"),
        (SESSIONS.replace("float", "token"), "a\tb\tc\td", "SBR", "column 'timestamp' must hold numbers"),
        (SESSIONS, "a\tb\tc\t", "SBR", r"d.inter:2: column 'timestamp' has no value"),
        (RATINGS, "a\tb\t\t5", "CF", r"d.inter:2: column 'rating' has no value"),
        (SESSIONS, "a\tb\tc\tinf", "SBR", "d.inter:2: column 'timestamp': inf is not a number from -2"),
        (SESSIONS, "a\tb\tc\t1\n\na\tb\tc\t1e300", "SBR", r"d.inter:4: column 'timestamp': 1e\+300 is not a number"),
        (SESSIONS, "a\tb\tc\t-9007199254740993", "SBR", "timestamp': -9007199254740993 is not a number from -2"),
        (RATINGS, "a\tb\t1\t5\na\tb\t-inf\t5", "CF", "d.inter:3: column 'rating': -inf is not a number from -2"),
        (RATINGS, "a\tb\t1\t5", "CF", "spam needs 15 items to hide among, training keeps 0 of 1 with --user_inter_num"),
        (RATINGS, "", "CF", "no interactions"),
    ],
)
def test_data_that_cannot_be_imitated(tmp_path, columns, row, task, message):
    path = tmp_path / "d.inter"
    path.write_text("\t".join(columns.split()) + f"\n{row}\n")
    with pytest.raises(UserError, match=message):
        CleanInteractions(path, task)


def test_ratings_without_times_or_ratings(tmp_path, write_inter):
    write_inter(tmp_path, [(f"u{p}", i) for p, i, _ in _profiles()], "user_id:token item_id:token", "ratings")
    fake = attack(tmp_path, "ratings", tmp_path)[1]
    assert list(fake.columns) == ["user_id", "item_id"] and len(fake) >= 75 * 4


def test_the_largest_times_are_drawn_from(tmp_path, write_inter):
    ends = [("u0", "s0", "i0", -(2**53)), ("u0", "s0", "i0", 2**53)]
    rows = [*ends, *((f"u{p}", f"s{p}", f"i{i}", t) for p, i, t in _profiles())]
    write_inter(tmp_path, rows, SESSIONS, "sessions")
    fake = attack(tmp_path, "sessions", tmp_path)[1]
    assert len(fake) and fake.groupby("session_id")["timestamp"].apply(lambda own: own.is_monotonic_increasing).all()


def test_tafeng_as_measured(reference, tmp_path):
    writer = SpamWriter(CleanBaskets(reference / "data" / "tafeng" / "tafeng_merged.json"), tmp_path, "tafeng")
    report = writer.write(0.01, 2, 10)
    users = json.loads(report["paths"][0].read_text())
    assert list(users) == [str(number) for number in range(13_950, 14_090)]  # ERASE's 140
    assert {len(own) for own in users.values()} <= set(range(4, 10))
    sizes = [len(basket) for own in users.values() for basket in own]
    assert len(sizes) == pytest.approx(643, rel=0.05) and np.mean(sizes) == pytest.approx(6.2, rel=0.1)
    assert report["target_rows"] == pytest.approx(978, rel=0.1)


def test_ml_100k(reference, tmp_path):
    writer = SpamWriter(CleanInteractions(reference / "data" / "ml-100k" / "ml-100k.inter", "CF"), tmp_path, "ml-100k")
    report = writer.write(0.01, 2, 10)
    fake = rows_of(report["paths"][0])
    assert fake["user_id"].unique().tolist() == [str(number) for number in range(944, 954)]
    assert fake.groupby("user_id").size().between(4, 737).all() and set(fake["rating"]) <= {1, 2, 3, 4, 5}
