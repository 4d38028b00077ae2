"""Unlearning, training and evaluation on the fake GPU never mix devices."""

import numpy as np
import pytest
import torch
from asking import ask
from fake_device import fake_device
from small_worlds import MODELS, weights

from recbole.evaluator import EvalSettings, TargetView, build_views, evaluate, get_probe
from recbole.evaluator.probes.targets import target_scores
from recbole.model import get_model
from recbole.trainer import ResumeFile, TrainingLoop
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import algorithm_names, get_algorithm
from recbole.utils import init_seed

ROWS = [name for name in algorithm_names() if get_algorithm(name).kinds == ("rows",)]
LEARNED = sorted(name for name in ROWS if name != "exact" and not get_algorithm(name).serves_ensembles)
OTHERS = MODELS[1:]
PAIRS = [pair for at, name in enumerate(LEARNED) for pair in ((name, MODELS[0]), (name, OTHERS[at % len(OTHERS)]))]
SMALL = {"influence_negatives": 4, "gif_scale_factor": 1e5}


def forgotten(world, name, device):
    """Return the outcome of a request, and the parameters after it on the CPU."""
    algorithm = world.start(name, device=device, **SMALL)
    outcome = ask(algorithm, world.requests[0].rows)
    world.config["device"] = torch.device("cpu")
    assert all(p.device.type == torch.device(device).type for p in algorithm.model.parameters())
    return outcome, {name: tensor.cpu() for name, tensor in weights(algorithm.model).items()}


@pytest.mark.parametrize(("name", "model"), PAIRS)
def test_an_algorithm_stays_on_its_device(name, model, worlds):
    world = worlds(model)
    here, on_cpu = forgotten(world, name, "cpu")
    with fake_device() as device:
        there, on_device = forgotten(world, name, device)
    assert (here.status, here.n_examples, here.reason) == (there.status, there.n_examples, there.reason)
    assert here.status == "applied"
    torch.testing.assert_close(on_device, on_cpu, rtol=1e-3, atol=1e-4)


def test_a_run_of_requests_stays_on_its_device_and_goes_on(worlds, tmp_path):
    world = worlds("BPR")
    with fake_device() as device:
        for end in (2, 4):
            pipeline = Pipeline(
                world.start("scif", device=device, **SMALL), world.requests.chosen(range(4)), 1,
                ResumeFile(tmp_path / "x.resume", "me"), show_progress=False,
            )  # fmt: skip
            pipeline.chunks = pipeline.chunks[:end]
            pipeline.run(lambda *_: None)
    world.config["device"] = torch.device("cpu")
    assert pipeline.outcomes["applied"] == 4


@pytest.mark.parametrize("name", ["EASE", "ItemKNN", "Pop", "SKNN_SBR", "TIFUKNN", "GPTopFreq"])
def test_exact_deletion_stays_on_its_device(name, worlds):
    """Both kinds of what is fitted: arrays and tensors."""
    world, found = worlds(name), []
    with fake_device() as device:
        for where in ("cpu", device):
            algorithm = world.start("exact", device=where)
            assert ask(algorithm, world.requests[0].rows).status == "applied"
            kept = algorithm.model.other_parameter()
            algorithm.model.load_other_parameter(kept)
            rows = algorithm.dataset.eval_rows("test").inputs[:5].to(where)
            found.append(algorithm.model.full_sort_predict(rows).view(5, -1).cpu())
    world.config["device"] = torch.device("cpu")
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("name", MODELS)
def test_training_and_questions_stay_on_their_device(name, worlds, tmp_path):
    world, found = worlds(name), []
    mask = np.zeros(len(world.dataset.log), dtype=bool)
    mask[world.requests[0].rows] = True
    with fake_device() as device:
        for where in ("cpu", device):
            world.config["device"], world.config["epochs"] = torch.device(where), 2
            init_seed(5)
            model = get_model(name)(world.config, world.dataset).to(where)
            trainer = TrainingLoop(world.config, model, world.dataset, ResumeFile(tmp_path / f"{where}.resume", "me"))
            progress = trainer.fit()
            views = build_views(world.dataset, mask, 0, 5)
            settings = EvalSettings.from_config(world.config)
            probes = [get_probe(name)() for name in ("utility", "exposure", "distance")]
            rows = evaluate(model, views, settings, probes, (model, "itself"))
            _, scores = target_scores(model, TargetView(views.shown, np.array([1, 2])), settings)
            found.append((progress.losses, [row["value"] for row in rows], scores.rank.tolist()))
            again = TrainingLoop(world.config, model, world.dataset, ResumeFile(tmp_path / f"{where}.resume", "me"))
            assert again.fit().losses == progress.losses, "it is complete, and goes on from there"
    world.config["device"] = torch.device("cpu")
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3, equal_nan=True)
