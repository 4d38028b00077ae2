"""Killed unlearning runs resume, and give the results of undisturbed runs."""

import os

import numpy as np
import pytest
import torch
from runs import Killed, Run, counts, same, timeless

from recbole.model.general_recommender.bpr import BPR
from recbole.model.general_recommender.lightgcn import LightGCN
from recbole.utils import UserError


@pytest.mark.parametrize(("model", "batch_size"), [(BPR, 1), (BPR, 2), (LightGCN, 1)])
@pytest.mark.parametrize("die_after", [0, 1, 3, 4, 5])
def test_a_killed_run_ends_as_one_that_was_not(
    config, small_dataset, tmp_path, monkeypatch, die_after, model, batch_size
):
    """LightGCN's steps look at people who asked before, and at a graph that lost their edges."""
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    settings = {"unlearning_batchsize": batch_size, "model": model}
    whole = Run(config, small_dataset, folder=tmp_path / "whole", **settings).run()
    folder = tmp_path / "killed"
    first = Run(config, small_dataset, folder=folder, **settings)
    with pytest.raises(Killed):
        first.run(die_after)
    with open(first.log_path, "ab") as log:
        log.write(b'{"written after the last snapshot": 1}\n' * 1000 + b'{"and torn')
    torch.manual_seed(99)
    second = Run(config, small_dataset, folder=folder, **settings).run()
    saved = first.saved | second.saved
    assert saved.keys() == whole.saved.keys()
    assert not die_after or len(second.saved) <= 4
    for checkpoint, (n_done, weights, summary, forgotten) in whole.saved.items():
        assert saved[checkpoint][0] == n_done and saved[checkpoint][2] == summary
        assert same(saved[checkpoint][1], weights) and np.array_equal(saved[checkpoint][3], forgotten)
    assert timeless(second.records()) == timeless(whole.records())
    assert counts(second.summary) == counts(whole.summary)
    assert len(second.pipeline.seconds) == len(whole.pipeline.seconds)


def test_killed_twice_and_with_requests_to_do_again(config, small_dataset, tmp_path, monkeypatch):
    whole = Run(config, small_dataset, folder=tmp_path / "whole").run()
    folder, saved = tmp_path / "killed", {}
    for die_after, seconds in ((4, "0"), (3, "3600"), (None, "0")):  # the second life leaves no snapshot
        monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", seconds)
        run = Run(config, small_dataset, folder=folder)
        if die_after is None:
            run.run()
        else:
            with pytest.raises(Killed):
                run.run(die_after)
        saved |= run.saved
    assert all(same(saved[checkpoint][1], whole.saved[checkpoint][1]) for checkpoint in range(4))
    assert timeless(run.records()) == timeless(whole.records())


def test_another_runs_snapshot_is_not_gone_on_from(config, small_dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    with pytest.raises(Killed):
        Run(config, small_dataset, folder=tmp_path).run(5)
    run = Run(config, small_dataset, folder=tmp_path, identity="another").run()
    assert len(run.records()) == 11 and set(run.saved) == {0, 1, 2, 3}


@pytest.mark.parametrize("left", [None, 0, -1])
def test_a_log_that_lost_what_the_snapshot_counts_is_refused(config, small_dataset, tmp_path, monkeypatch, left):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    with pytest.raises(Killed):
        Run(config, small_dataset, folder=tmp_path).run(5)
    run = Run(config, small_dataset, folder=tmp_path)
    kept = b"" if left is None else run.log_path.read_bytes()[:left]
    run.log_path.unlink() if left is None else run.log_path.write_bytes(kept)
    wanted = rf"x\.requests\.jsonl lacks requests .*{len(kept)} of \d+ bytes.*; delete .*x\.resume to start over"
    with pytest.raises(UserError, match=wanted):
        run.run()
    assert not run.log_path.exists() if left is None else run.log_path.read_bytes() == kept
    (tmp_path / "x.resume").unlink()
    again = Run(config, small_dataset, folder=tmp_path).run()
    assert len(again.records()) == 11


def test_the_log_is_on_the_disk_before_the_snapshot_that_counts_on_it(config, small_dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    run, synced = Run(config, small_dataset, folder=tmp_path), []
    fsync, save = os.fsync, run.pipeline.resume.save
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino) or fsync(number))

    def saves(state):
        inode = run.log_path.stat().st_ino
        assert synced[-1] == inode and run.log_path.stat().st_size == state["log_size"]
        save(state)

    run.pipeline.resume.save = saves
    run.run()
    assert len(synced) >= 2 * 11
