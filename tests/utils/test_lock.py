"""Of all processes that want to write the files of a stem, one does; locks of dead processes are ignored."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recbole.utils import UserError, lock

UTILS = Path(lock.__file__).parent

WITHOUT_TORCH = f"""
import os, sys, time, types
sys.path.insert(0, {str(UTILS.parents[1])!r})
package = types.ModuleType("recbole.utils")  # its own __init__ imports torch, which takes seconds
package.__path__ = [{str(UTILS)!r}]
sys.modules["recbole.utils"] = package
from pathlib import Path
from recbole.utils import lock
assert "torch" not in sys.modules

def no_locks(descriptor, blocking):
    raise OSError(37, "No locks available")

if sys.argv[2] == "fail":
    lock.lock_descriptor = no_locks
path = Path(sys.argv[1])
"""

COUNT = """
counter, go = path.with_name("counter"), path.with_name("go")
print("ready", flush=True)
while not go.exists():
    time.sleep(0.001)
for _ in range(3):
    with lock.writer(path):
        before = int(counter.read_text())
        time.sleep(0.002)
        counter.write_text(str(before + 1))
"""

HOLD = """
with lock.writer(path):
    print("held", flush=True)
    sys.stdin.read()
"""

HOLD_WITH_CHILD = """
with lock.writer(path):
    child = os.fork()
    if child == 0:
        os.close(1)
        sys.stdin.read()
        os._exit(0)
    print("held", flush=True)
    time.sleep(600)
"""

LOCKS = pytest.mark.parametrize("locks", ["work", "fail"])
"""Whether the file system has locks."""


def start(code, path, locks="work", **environment):
    """Return a process that runs the code, once it has said its first word."""
    process = begin(code, path, locks, **environment)
    process.stdout.readline()
    return process


def begin(code, path, locks, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", WITHOUT_TORCH + code, str(path), locks],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def end(*processes):
    for process in processes:
        process.communicate()


@pytest.fixture
def stem(tmp_path):
    return tmp_path / "BPR-ml-1m.json"


@pytest.fixture
def fail(monkeypatch):
    """Return how to make the file system one without locks."""

    def locks_fail(locks):
        def no_lock(descriptor, blocking):
            raise OSError(errno.ENOLCK, "No locks available")

        if locks == "fail":
            monkeypatch.setattr(lock, "lock_descriptor", no_lock)

    return locks_fail


def left_by(stem, silent, host="elsewhere", pid=7, locked=True):
    """Create the lock file of another process that was last active some seconds ago; return its path."""
    path = lock.lock_path(stem)
    holder = {"host": host, "pid": pid, "job": "41", "started": time.time() - 1000, "locked": locked}
    path.write_text("\n" + json.dumps(holder))
    os.utime(path, (time.time() - silent,) * 2)
    return path


def unheard(line):
    raise AssertionError(f"waited for nobody: {line}")


@LOCKS
def test_many_processes_write_one_after_another(stem, locks):
    (stem.parent / "counter").write_text("0")
    processes = [begin(COUNT, stem, locks) for _ in range(20)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 20
    (stem.parent / "go").touch()
    end(*processes)
    assert [process.returncode for process in processes] == [0] * 20
    assert (stem.parent / "counter").read_text() == "60"
    assert sorted(os.listdir(stem.parent)) == ["counter", "go"]


@LOCKS
def test_a_killed_writer_is_taken_over_at_once(stem, locks, fail):
    killed = start(HOLD, stem, locks)
    killed.kill()
    end(killed)
    assert os.listdir(stem.parent) == [lock.lock_path(stem).name]
    fail(locks)
    with lock.writer(stem, "leave", unheard) as held:
        assert not held.waited
    assert os.listdir(stem.parent) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_killed_writers_children_do_not_hold_its_lock(stem):
    killed = start(HOLD_WITH_CHILD, stem)
    killed.kill()
    killed.wait()
    with lock.writer(stem, "leave", unheard):
        pass
    end(killed)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_child_leaves_its_parents_lock_alone(stem):
    with lock.writer(stem) as held:
        child = os.fork()
        if child == 0:
            os.open(held.path, os.O_RDONLY)  # gets the number that the lock's own descriptor had
        else:
            assert os.waitpid(child, 0) == (child, 0)
            other = lock._File(held.path, os.O_RDWR)
            assert other.lock() is False
            other.close()
    if child == 0:
        os._exit(0)
    assert os.listdir(stem.parent) == []


@LOCKS
def test_one_who_does_not_wait_is_told_in_one_line_who_writes(stem, locks, fail):
    running = start(HOLD, stem, locks, SLURM_JOB_ID="4711")
    fail(locks)
    with pytest.raises(UserError) as error, lock.writer(stem, "leave", unheard):
        pass
    assert str(stem) in str(error.value) and "\n" not in str(error.value)
    assert f"process {running.pid} on {os.uname().nodename}, job 4711, since 20" in str(error.value)
    end(running)
    assert os.listdir(stem.parent) == []


@LOCKS
def test_one_who_waits_is_told_once_and_then_writes(stem, locks, fail):
    running = start(HOLD, stem, locks)
    fail(locks)
    lines = []

    def told(line):
        lines.append(line)
        running.stdin.close()

    with lock.writer(stem, told=told) as held:
        assert held.waited and held.path.exists()
        assert running.wait() == 0
    assert len(lines) == 1 and f"process {running.pid} on" in lines[0] and str(stem) in lines[0]
    assert os.listdir(stem.parent) == []
    running.stdout.close()


def test_a_writer_elsewhere_counts_as_dead_after_five_silent_minutes(stem):
    left_by(stem, silent=lock.STALE_SECONDS - 100)
    with pytest.raises(UserError, match="process 7 on elsewhere, job 41"), lock.writer(stem, "leave"):
        pass
    left_by(stem, silent=lock.STALE_SECONDS + 1)
    with lock.writer(stem, "leave", unheard) as held:
        assert not held.waited
    assert os.listdir(stem.parent) == []


def test_one_who_waits_for_a_writer_elsewhere_goes_on_when_that_falls_silent(stem):
    left_by(stem, silent=0)
    with lock.writer(stem, told=lambda line: left_by(stem, silent=lock.STALE_SECONDS + 1)) as held:
        assert held.waited


@pytest.mark.parametrize("locked", [True, False])
def test_without_locks_a_living_process_counts_as_dead_when_it_is_silent(stem, locked, fail):
    fail("fail")
    left_by(stem, silent=0, host=os.uname().nodename, pid=os.getppid(), locked=locked)
    with pytest.raises(UserError, match=f"process {os.getppid()} "), lock.writer(stem, "leave"):
        pass
    left_by(stem, silent=lock.STALE_SECONDS + 1, host=os.uname().nodename, pid=os.getppid(), locked=locked)
    with lock.writer(stem, "leave", unheard):
        pass


def test_a_writer_whose_own_lock_failed_is_not_dead_because_the_lock_is_free(stem):
    left_by(stem, silent=0, host=os.uname().nodename, pid=os.getppid(), locked=False)
    with pytest.raises(UserError, match=f"process {os.getppid()} "), lock.writer(stem, "leave"):
        pass


def test_a_file_that_nobody_has_signed_yet_is_somebodys_until_it_is_old(stem):
    path = lock.lock_path(stem)
    path.touch()
    with pytest.raises(UserError, match="just started"), lock.writer(stem, "leave"):
        pass
    os.utime(path, (time.time() - lock.STALE_SECONDS - 1,) * 2)
    with lock.writer(stem, "leave", unheard):
        pass


def test_a_writer_shows_that_it_lives(stem, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.01)
    with lock.writer(stem) as held:
        os.utime(held.path, (1, 1))
        until = time.monotonic() + 60
        while held.path.stat().st_mtime == 1 and time.monotonic() < until:
            time.sleep(0.01)
        assert held.path.stat().st_mtime > 1


def test_a_dead_writers_file_that_another_has_replaced_stays(stem, monkeypatch):
    path = left_by(stem, silent=lock.STALE_SECONDS + 1)
    real = lock.lock_descriptor

    def taken_over_just_now(descriptor, blocking):
        monkeypatch.setattr(lock, "lock_descriptor", real)
        path.unlink()
        left_by(stem, silent=0, host="faster")
        return real(descriptor, blocking=blocking)

    monkeypatch.setattr(lock, "lock_descriptor", taken_over_just_now)
    with pytest.raises(UserError, match="on faster"), lock.writer(stem, "leave"):
        pass
    assert os.listdir(stem.parent) == [path.name]


@pytest.mark.parametrize("silent", [0, lock.STALE_SECONDS + 2])
def test_a_file_that_was_renewed_or_replaced_since_it_was_seen_is_put_back(stem, silent):
    path = left_by(stem, silent=lock.STALE_SECONDS + 1)
    seen = path.stat()
    other = path.with_name("other")
    path.rename(other)  # so that its inode is not used again
    left_by(stem, silent)
    lock._remove(path, seen)
    assert path.exists()
    other.rename(path)
    lock._remove(path, seen)
    assert os.listdir(stem.parent) == []
    lock._remove(path, seen)


def test_a_new_file_that_is_taken_away_before_it_is_locked_is_made_again(stem, monkeypatch):
    real = lock.lock_descriptor

    def taken_away(descriptor, blocking):
        monkeypatch.setattr(lock, "lock_descriptor", real)
        lock.lock_path(stem).unlink()
        return real(descriptor, blocking=blocking)

    monkeypatch.setattr(lock, "lock_descriptor", taken_away)
    with lock.writer(stem, "leave", unheard) as held:
        assert json.loads(held.path.read_text())["pid"] == os.getpid()
    assert os.listdir(stem.parent) == []


def test_a_writer_that_was_taken_for_dead_leaves_its_successors_file(stem):
    with lock.writer(stem) as held:
        held.path.rename(held.path.with_name("old"))
        left_by(stem, silent=0)
    assert sorted(os.listdir(stem.parent)) == [held.path.name, "old"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_no_file_stays_however_the_work_ends(stem, failure):
    with pytest.raises(failure), lock.writer(stem):
        raise failure
    assert os.listdir(stem.parent) == []


def test_no_file_stays_after_control_c(stem):
    running = start(HOLD, stem)
    running.send_signal(signal.SIGINT)
    end(running)
    assert running.returncode != 0
    assert os.listdir(stem.parent) == []


def test_the_folder_is_made_and_names_may_be_as_long_as_names_can_be(tmp_path):
    path = tmp_path / "saved" / ("x" * 255)
    with lock.writer(path), lock.writer(path.with_name("y" * 255), "leave"):
        assert len(os.listdir(path.parent)) == 2
    assert os.listdir(path.parent) == []


def test_a_folder_that_cannot_be_written_to_is_told_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"), lock.writer(tmp_path / "file" / "a.json"):
        pass

    def read_only(*args):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(lock.os, "open", read_only)
    with pytest.raises(UserError, match=r"Read-only file system$"), lock.writer(tmp_path / "a.json"):
        pass


def test_what_to_do_meanwhile_is_one_of_two(stem):
    with pytest.raises(UserError, match="'stop' is not wait or leave"), lock.writer(stem, "stop"):
        pass
