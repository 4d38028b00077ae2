"""The contract of every model in the package."""

import numpy as np
import pytest
import torch
from model_contract import ModelContract, without_contract

from recbole.config.layers import PROPERTIES
from recbole.model import get_model, model_modules

NAMES = {path.stem.lower(): path.stem for path in (PROPERTIES / "model").glob("*.yaml")}


class TestBPR(ModelContract):
    model = "BPR"


class TestLightGCN(ModelContract):
    model = "LightGCN"


class TestSGL(ModelContract):
    model = "SGL"


class TestSpectralCF(ModelContract):
    model = "SpectralCF"
    planted_leaves = 1e-6


class TestNeuMF(ModelContract):
    model = "NeuMF"


class TestWMF(ModelContract):
    model = "WMF"


class TestSimRec(ModelContract):
    model = "SimRec"


class TestDCCF(ModelContract):
    model = "DCCF"


class TestPop(ModelContract):
    model = "Pop"


class TestRandom(ModelContract):
    model = "Random"
    learns = False
    repeats = False


class TestItemKNN(ModelContract):
    model = "ItemKNN"
    ranks = False


class TestEASE(ModelContract):
    model = "EASE"


class TestGRU4Rec(ModelContract):
    model = "GRU4Rec"


class TestNARM(ModelContract):
    model = "NARM"


class TestSASRec(ModelContract):
    model = "SASRec"


class TestSRGNN(ModelContract):
    model = "SRGNN"


class TestPopSBR(ModelContract):
    model = "Pop_SBR"


class TestSKNN(ModelContract):
    model = "SKNN_SBR"
    ranks = False


class TestSets2Sets(ModelContract):
    model = "Sets2Sets"


class TestDNNTSP(ModelContract):
    model = "DNNTSP"


class TestPTopFreq(ModelContract):
    model = "PTopFreq"


class TestGTopFreq(ModelContract):
    model = "GTopFreq"


class TestGPTopFreq(ModelContract):
    model = "GPTopFreq"


class TestTIFUKNN(ModelContract):
    model = "TIFUKNN"


def test_every_model_has_a_contract():
    assert without_contract(model_modules()) == []
    assert without_contract({"bpr", "newmodel"}) == ["newmodel"]
    assert set(NAMES) >= set(model_modules())


@pytest.mark.parametrize("name", ["LightGCN", "SGL", "DCCF", "SpectralCF"])
def test_rebuilding_the_graph_changes_the_scores_of_graph_models(name, worlds):
    world, mask, scores = worlds(name), np.zeros(len(worlds(name).dataset.log), dtype=bool), []
    mask[world.requests[0].rows] = True
    model = get_model(name)(world.config, world.dataset).eval()
    assert model.rebuild_changes_scores
    for data in (world.dataset, world.dataset.masked(mask)):
        model.rebuild(data)
        with torch.no_grad():
            scores.append(model.full_sort_predict(world.dataset.eval_rows("test").inputs[:24]).clone())
    assert not torch.equal(*scores)
