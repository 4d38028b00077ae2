"""How programs end after signals, failing output streams, and full disks."""

import errno
import os
import signal

import pytest

from recbole.trainer.resume import ResumeFile
from recbole.utils import UserError
from recbole.utils.ending import SIGNALS, can_go_on_from, ended, waiting
from recbole.utils.outlet import Outlet


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_is_told_in_one_line_and_in_the_status(name, capsys):
    before = signal.getsignal(signal.SIGTERM)
    number = getattr(signal, name)
    assert ended("it", lambda: os.kill(os.getpid(), number)) == 128 + number
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "from its last snapshot, or starts over if there is none" in told
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_waits_for_the_snapshot_and_the_line_names_it(tmp_path, capsys):
    resume, late = ResumeFile(tmp_path / "x.resume", "identity"), []

    def work():
        with waiting():
            assert not resume.due()
            os.kill(os.getpid(), signal.SIGUSR1)
            late.append(resume.due())
            resume.save({"done": 1})
        late.append("went on")

    assert ended("it", work) == 138
    assert late == [True] and resume.load()["done"] == 1
    assert (
        capsys.readouterr().err
        == f"it: stopped by SIGUSR1; the same command continues from the snapshot {resume.path}\n"
    )


def test_a_second_signal_does_not_wait(capsys):
    late = []

    def work():
        with waiting():
            os.kill(os.getpid(), signal.SIGINT)
            late.append("waited")
            os.kill(os.getpid(), signal.SIGINT)
            late.append("went on")

    assert ended("it", work) == 130 and late == ["waited"]


def test_more_signals_do_not_disturb_what_cleans_up(capsys):
    done = []

    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            done.append(True)

    assert ended("it", work) == 143 and done
    assert capsys.readouterr().err.count("\n") == 1


def test_that_there_is_no_snapshot_is_said_by_who_has_looked(tmp_path, capsys):
    def work():
        assert ResumeFile(tmp_path / "x.resume", "identity").load() is None
        os.kill(os.getpid(), signal.SIGTERM)

    assert ended("it", work) == 143
    assert "there is no snapshot: the same command starts over" in capsys.readouterr().err


def test_a_snapshot_that_is_gone_is_not_promised(tmp_path, capsys):
    def work():
        can_go_on_from(tmp_path / "gone.resume")
        os.kill(os.getpid(), signal.SIGTERM)

    assert ended("it", work) == 143
    assert "there is no snapshot" in capsys.readouterr().err


def test_what_fails_of_a_signal_is_no_failure_of_its_own(capsys):
    def work():
        with waiting():
            os.kill(os.getpid(), signal.SIGTERM)
            raise RuntimeError("Connection closed by peer")

    assert ended("it", work) == 143
    assert "Connection" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UserError("look there"), "it: look there\n"),
        (OSError(errno.ENOSPC, "No space left on device", "there"), "it: there: No space left on device\n"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "n"), "it: n: File name too long\n"),
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory: 12 bytes"), "out of memory"),
        (Exception("Unknown error: Failed to launch worker thread"), "out of memory"),
    ],
)
def test_what_can_be_mended_is_one_line(error, told, capsys):
    def work():
        raise error

    assert ended("it", work) == 2
    found = capsys.readouterr().err
    assert told in found and found.count("\n") == 1


def test_other_failures_keep_their_traceback():
    with pytest.raises(KeyError):
        ended("it", lambda: {}["absent"])


@pytest.mark.parametrize("case", ["full", "left", "closed", "none"])
def test_output_that_fails_is_thrown_away(case):
    told = []
    if case == "full":
        stream = open("/dev/full", "w")  # noqa: SIM115
    elif case == "none":
        stream = None
    else:
        reader, writer = os.pipe()
        stream = os.fdopen(writer, "w")
        os.close(reader)
        if case == "closed":
            stream.write("x")
            os.close(writer)
    outlet = Outlet(stream, told.append)
    for _ in range(3):
        assert outlet.write("text\n") == 5
        outlet.flush()
    outlet.close()
    assert bool(told) == (case in ("full", "closed"))


def test_a_character_that_the_terminal_lacks_is_written_otherwise(tmp_path):
    with open(tmp_path / "out", "w", encoding="ascii") as file:
        Outlet(file).write("é\udcff")
    assert (tmp_path / "out").read_text() == "\\xe9\\udcff"
