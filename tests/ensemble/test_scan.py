"""The residual scan detects whether shards still depend on forgotten rows, and reports nothing for exact unlearning."""

import numpy as np
import pytest
import torch
from small_worlds import USERS

from recbole.data import create_dataset
from recbole.data.sampler import PairSet
from recbole.ensemble import scan as scanned
from recbole.ensemble.scan import manifest, rewritten, scan


def found(place, state, train=True):
    return list(scan(place.run, place.dataset, state, train))


def dirty(findings):
    return sorted((one.of, one.what) for one in findings if not one.clean)


@pytest.mark.parametrize(
    ("name", "preset"), [("BPR", "receraser"), ("LightGCN", "receraser"), ("GRU4Rec", "sisa"), ("DNNTSP", "sisa")]
)
def test_nothing_depends_on_what_was_unlearned(ensembles, name, preset):
    place = ensembles(name, preset)
    saved, *_ = place.unlearn()
    findings = found(place, saved[3])
    assert dirty(findings) == []
    assert {one.of for one in findings} == {"0", "1", "2", "aggregate"}
    assert {"examples", "negatives", "derived", "validation", "parameters"} == {one.what for one in findings}


def test_a_shard_that_was_not_retrained_is_found(ensembles):
    """The ensemble has the mask of the unlearned one, but in one shard the parameters of the base."""
    place = ensembles("BPR")
    saved, *_ = place.unlearn()
    state = saved[3] | {
        name: tensor for name, tensor in place.base.state_dict().items() if name.startswith("shards.1.")
    }
    assert dirty(found(place, state)) == [("1", "parameters")]
    assert dirty(found(place, state, train=False)) == [], "retraining detects the dependence"


def test_a_sampler_that_still_rejects_forgotten_pairs_is_found(ensembles, monkeypatch):
    """If the sampler still rejects forgotten pairs, other content of these rows changes the negatives."""
    place = ensembles("BPR")
    saved, *_ = place.unlearn()
    init = PairSet.__init__

    def leaking(self, dataset):
        init(self, dataset.masked(np.zeros_like(dataset.forgotten)))

    monkeypatch.setattr(PairSet, "__init__", leaking)
    assert ("aggregate", "negatives") in dirty(found(place, saved[3], train=False))


def test_a_graph_with_forgotten_edges_is_found(ensembles, monkeypatch):
    place = ensembles("LightGCN")
    saved, *_ = place.unlearn()
    made = scanned._tensors_of

    def stale(run, data):
        return made(run, data.masked(np.zeros_like(data.forgotten)))

    monkeypatch.setattr(scanned, "_tensors_of", stale)
    assert ("aggregate", "derived") in dirty(found(place, saved[3], train=False))


def test_only_the_forgotten_rows_are_rewritten(ensembles):
    place = ensembles("BPR")
    rows = np.zeros(len(place.log), dtype=bool)
    rows[5:9] = True
    other = rewritten(place.dataset, rows)
    assert ((other.log.item != place.log.item) == rows).all()
    assert other.log.item.min() >= 1 and other.log.item.max() < place.dataset.n_items


def test_the_manifest_depends_on_the_rows(ensembles):
    place = ensembles("BPR")
    forgotten = place.requests.mask(len(USERS), len(place.log))
    told = manifest(place.dataset, place.shard_of, forgotten)
    for one in told:
        rows = place.shard_of == one.shard
        assert (one.given, one.left) == (rows.sum(), (rows & ~forgotten).sum())
        assert (one.before == one.after) == (one.given == one.left)
    nothing = manifest(place.dataset, place.shard_of, np.zeros_like(forgotten))
    assert [one.before for one in told] == [one.before for one in nothing] == [one.after for one in nothing]


def test_other_contents_of_some_rows_do_not_rescale_the_other_ratings(config, write_inter, tmp_path):
    rows = [(f"u{n % 5}", f"i{n % 7}", 1 + n // 7, n) for n in range(35)]
    write_inter(tmp_path, rows, "user_id:token item_id:token rating:float timestamp:float")
    load = {"inter": ["user_id", "item_id", "rating", "timestamp"]}
    data = create_dataset(config(tmp_path, load_col=load, normalize_all=True)).data
    changed = np.arange(len(data.log)) < 10
    there = rewritten(data, changed)
    for one, other in ((data.log.item, there.log.item), (data.log.columns["rating"], there.log.columns["rating"])):
        assert (one[changed] != other[changed]).all() and (one[~changed] == other[~changed]).all()
    batches = [of.masked(changed).collate(of.masked(changed).train_examples()) for of in (data, there)]
    assert torch.equal(batches[0]["rating"], batches[1]["rating"])
