"""Programs that get a signal, or whose output or disk cannot be written, run as separate processes."""

import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from recbole.quick_start.unlearning import _record_before
from recbole.trainer import ResumeFile
from recbole.utils import UserError
from recbole.utils.ending import SIGNALS

LONG = ("run_recbole.py", "--epochs", "400", "--stopping_step", "999", "--eval_step", "200")


@pytest.fixture(scope="module")
def place(world, tmp_path_factory):
    return world(tmp_path_factory.mktemp("stopped"))


def test_a_signal_leaves_a_snapshot_from_which_the_same_command_resumes(place, start, here):
    with start(place.folder, *LONG, ERASE_SNAPSHOT_SECONDS="9999") as process:
        while "epoch 5 " not in (line := process.stdout.readline()):
            assert line, process.stderr.read()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    (snapshot,) = place.saved.glob("*.resume")
    assert (
        err
        == f"run_recbole.py: stopped by SIGTERM; the same command continues from the snapshot saved/{snapshot.name}\n"
    )
    told = here(place.folder, *LONG)
    assert told.status == 0 and "continuing at epoch" in told.out
    assert not snapshot.exists()


@pytest.mark.slow
def test_several_processes_end_with_their_launcher_and_the_same_command_resumes(place, start):
    """Each run continues from where the previous one was stopped."""
    for name in (*SIGNALS, "SIGKILL"):
        stop_several(place, start, name, continues=name != SIGNALS[0])


def stop_several(place, start, name, continues):
    """Start two processes and send their launcher a signal; check its message, and whether the run continued."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    number, several = getattr(signal, name), ("--variant", "several", "--nproc", "2", "--port", port)
    with start(place.folder, *LONG, *several, ERASE_SNAPSHOT_SECONDS="0") as process:
        continuing = False
        while "training [" not in (line := process.stdout.readline()):
            assert line, process.stderr.read()
            continuing |= "continuing at epoch" in line
        process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)  # communicate waits for all processes that hold the streams
    (snapshot,) = place.saved.glob("several/*.resume")
    assert continuing == continues
    if name == "SIGKILL":
        assert process.returncode == -9
        return
    how = "interrupted" if name == "SIGINT" else f"stopped by {name}"
    goes_on = f"the same command continues from the snapshot saved/several/{snapshot.name}"
    assert (process.returncode, err) == (128 + number, f"run_recbole.py: {how}; {goes_on}\n")


def test_a_signal_during_imports_also_gives_one_line(command_line, tmp_path):
    """A module that takes long to import stands for all imports."""
    (tmp_path / "numpy.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        [sys.executable, *command_line("run_recbole.py")[1:]], cwd=tmp_path, text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "run_recbole.py: stopped before it began\n")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a file system of its own")
def test_a_full_disk_gives_one_line_and_with_space_the_run_resumes(place, command_line):
    """Logs and checkpoints are written to a small file system that is full at first."""
    shutil.rmtree(place.saved, ignore_errors=True)
    place.saved.mkdir()
    run = subprocess.list2cmdline(command_line("run_recbole.py", "--tensorboard", "False", "--log_dir", "saved/log"))
    script = f"""mount -t tmpfs -o size=200k none saved || exit 77
        mkdir -p saved/log; head -c 180k /dev/zero > saved/filler
        {run} > out1 2> err1; echo $? > status1; rm saved/filler
        {run} > out2 2> err2; echo $? > status2"""
    words = ["unshare", "-rm", "sh", "-c", script]
    done = subprocess.run(words, check=False, cwd=place.folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system of its own: {done.stderr}")
    found = {name: (place.folder / name).read_text() for name in ("status1", "err1", "status2", "err2")}
    assert found["status1"] == "2\n" and "No space left on device" in found["err1"], found
    assert "Traceback" not in found["err1"] and found["status2"] == "0\n", found


def test_a_log_that_cannot_be_written_does_not_end_the_run(place, here, monkeypatch):
    from recbole.utils import logger

    whole = logger.logging.FileHandler._open
    monkeypatch.setattr(logger.logging.FileHandler, "_open", lambda one: whole(one) and open("/dev/full", "w"))  # noqa: SIM115
    told = here(place.folder, "run_recbole.py", "--variant", "full")
    assert told.status == 0 and "No space left on device; the run goes on" in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("ending", [".pth", ".json"])
def test_a_file_that_was_removed_after_an_interruption_is_named_with_the_remedy(tmp_path, ending):
    checkpoint = tmp_path / "model.pth"
    checkpoint.touch()
    checkpoint.with_suffix(".json").write_text('{"kind": "unlearned"}')
    resume = ResumeFile(tmp_path / "model.resume", {})
    assert _record_before(checkpoint, resume) == {"kind": "unlearned"}
    checkpoint.with_suffix(ending).unlink()
    with pytest.raises(UserError, match=rf"model\{ending} was removed .*; delete .*model\.resume to start over"):
        _record_before(checkpoint, resume)
