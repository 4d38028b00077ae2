"""Who may ask that rows of a log be forgotten."""

from recbole.generators.raw_log import RawInteractions


def test_only_people_with_enough_of_both_may_ask(write_inter, tmp_path):
    rows = [("a", "s"), ("a", "x"), ("b", "s"), ("b", "s"), ("b", "x"), ("c", "s"), ("c", "s")]
    path = write_inter(tmp_path, rows, "user_id:token item_id:token")
    log = RawInteractions(path, min_sensitive=2, min_remaining=1)
    assert log.sensitive(["s"]).tolist() == [False, False, True, True, False, False, False]
