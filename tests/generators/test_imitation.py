"""Fake profiles in the written files: the items they promote, and their similarity to real profiles."""

import json

import numpy as np
import pyarrow as pa
import pytest
from spam_logs import PROFILE, RATINGS, RATIO, SESSIONS, TASKS, attack, clean_log, fifths, profiles, rows_of

from recbole.generators.bandwagon import n_fake
from recbole.generators.imitation import CleanBaskets, CleanInteractions, fresh_ids
from recbole.generators.spam_writer import SpamWriter
from recbole.generators.usual_filters import INTERVALS
from recbole.utils import UserError


def core(rows):
    """Return the items in the 5-core, by a loop."""
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


@pytest.mark.parametrize("name", PROFILE)
def test_fake_sessions_of_fake_users(data, tmp_path, name):
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


def test_fake_ids_continue_the_real_ones(data, tmp_path):
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
def test_fake_ids_do_not_occur_in_the_log(tokens, expected):
    assert fresh_ids(pa.array(tokens), 2).to_pylist() == expected


def test_a_fake_session_never_gets_a_real_user(tmp_path, write_inter):
    rows = [(500 + 2 * (p % 40), p, f"i{i}", t) for p, i, t in profiles()]  # users 500 to 578, sessions 0 to 299
    write_inter(tmp_path, rows, SESSIONS, "sessions")
    writer = SpamWriter(clean_log(tmp_path, "sessions"), tmp_path, "sessions")
    fake = rows_of(writer.write(0.5, 2, 5)["paths"][0])
    assert set(fake["session_id"]) == set(map(str, range(300, 600)))  # 500 is a real user
    assert set(fake["user_id"]) == set(map(str, range(579, 879)))
    assert fake.groupby("user_id")["session_id"].nunique().max() == 1


def test_fake_ratings_are_plausible(data, tmp_path):
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


def test_fake_baskets_are_sets_with_one_or_two_targets(data, tmp_path):
    _, fake, metadata = attack(data, "baskets", tmp_path, ratio=0.9)
    assert not fake.duplicated(["basket", "item_id"]).any()
    on_target = fake["item_id"].isin(metadata["target_items"]).groupby(fake["basket"]).sum()
    sizes = fake.groupby("basket").size()
    assert (on_target == np.where(sizes >= 5, 2, 1)).all() and (sizes >= 2).all()
    per_user = fake.groupby("user_id")["basket"].nunique()
    assert per_user.between(4, 9).all()  # real users have 6 baskets: A = 6
    first = fake.groupby("basket")["item_id"].first().isin(metadata["target_items"])
    assert 0.1 < first.mean() < 0.9  # positions are shuffled


def test_items_that_training_filters_remove_are_not_promoted(tmp_path, write_inter):
    rows = [(f"u{p}", i, 3, t) for p, i, t in profiles()] + [("u0", 1000 + i, 3, 10**9) for i in range(50)]
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
def test_the_filter_of_the_run_decides_which_items_are_promoted(data, tmp_path, name, user):
    path, asked = data / name / f"{name}.inter", dict(zip(INTERVALS, ("[7,inf)", "[6,inf)"), strict=True))
    log, rows = CleanInteractions(path, TASKS[name], intervals=asked), rows_of(path)
    assert log.n_profiles == 300, "profiles are counted without filters"
    writer = SpamWriter(log, tmp_path, name)
    report = writer.write(RATIO, 2, 5)
    fake, everything = rows_of(report["paths"][0]), rows
    while True:  # the core, by a loop
        good = rows[user].map(rows[user].value_counts()).ge(7)
        good &= rows["item_id"].map(rows["item_id"].value_counts()).ge(6)
        if good.all():
            break
        rows = rows[good]
    popular, unpopular = fifths(everything, set(rows["item_id"]))
    assert set(report["targets"]) <= unpopular and set(fake["item_id"]) <= popular | unpopular
    with pytest.raises(UserError, match=r"was made with user_inter_num_interval \[7,inf\), not .*; add --overwrite"):
        SpamWriter(clean_log(data, name), tmp_path, name).check(RATIO, 2, 5)
    writer.check(RATIO, 2, 5)
    spelled = CleanInteractions(
        path, TASKS[name], intervals=dict(zip(INTERVALS, ("[7, inf)", "[6.0,inf)"), strict=True))
    )
    SpamWriter(spelled, tmp_path, name).check(RATIO, 2, 5)
    with pytest.raises(UserError, match="item_inter_num_interval: '5' is not an interval"):
        CleanInteractions(path, TASKS[name], intervals={"item_inter_num_interval": "5"})


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
        (
            RATINGS,
            "a\tb\t1\t5",
            "CF",
            "a spam attack needs at least 15 items, but only 0 of 1 are left after filtering with --user_inter_num",
        ),
        (RATINGS, "", "CF", "no interactions"),
    ],
)
def test_data_without_enough_items_is_rejected(tmp_path, columns, row, task, message):
    path = tmp_path / "d.inter"
    path.write_text("\t".join(columns.split()) + f"\n{row}\n")
    with pytest.raises(UserError, match=message):
        CleanInteractions(path, task)


def test_ratings_without_times_or_ratings(tmp_path, write_inter):
    write_inter(tmp_path, [(f"u{p}", i) for p, i, _ in profiles()], "user_id:token item_id:token", "ratings")
    fake = attack(tmp_path, "ratings", tmp_path)[1]
    assert list(fake.columns) == ["user_id", "item_id"] and len(fake) >= 75 * 4


def test_large_timestamps_are_supported(tmp_path, write_inter):
    ends = [("u0", "s0", "i0", -(2**53)), ("u0", "s0", "i0", 2**53)]
    rows = [*ends, *((f"u{p}", f"s{p}", f"i{i}", t) for p, i, t in profiles())]
    write_inter(tmp_path, rows, SESSIONS, "sessions")
    fake = attack(tmp_path, "sessions", tmp_path)[1]
    assert len(fake) and fake.groupby("session_id")["timestamp"].apply(lambda own: own.is_monotonic_increasing).all()


def test_tafeng_has_the_known_numbers(reference, tmp_path):
    writer = SpamWriter(CleanBaskets(reference / "data" / "tafeng" / "tafeng_merged.json"), tmp_path, "tafeng")
    report = writer.write(0.01, 2, 10)
    users = json.loads(report["paths"][0].read_text())
    assert list(users) == [str(number) for number in range(13_950, 14_090)]  # 140, as in ERASE
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
