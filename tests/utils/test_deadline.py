import time

from recbole.utils.deadline import Deadline


def test_without_seconds_it_never_passes():
    forever = Deadline.of_hours(None)
    assert not forever.passed() and forever.allows(1e9) and forever.share(3, 1e9).seconds is None


def test_it_passes_when_its_seconds_are_over():
    started = time.perf_counter()
    assert Deadline(10.0, started - 10.0).passed() and not Deadline(10.0, started - 1.0).passed()
    assert Deadline(0.0).passed()


def test_work_in_several_pieces_is_allowed_by_its_sum():
    day = Deadline.of_hours(24)
    assert day.allows(86400) and not day.allows(86400.1)


def test_a_part_gets_its_even_share_and_no_more_than_is_left():
    whole = Deadline(12.0)
    assert whole.share(4, 0.0).seconds == 3.0
    assert whole.share(4, 10.0).seconds == 2.0
    assert whole.share(4, 13.0).seconds == 0.0 and whole.share(4, 13.0).passed()
