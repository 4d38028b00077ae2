"""Fixture of clean logs for the tests of spam."""

import json

import numpy as np
import pytest
from spam_logs import RATINGS, SESSIONS, profiles


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_inter):
    """A ``data_path`` with ratings, sessions with and without users, and baskets."""
    folder, draw = tmp_path_factory.mktemp("spam"), np.random.default_rng(4)
    rows = list(profiles())
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
