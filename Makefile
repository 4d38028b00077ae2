# make demo   install, fetch MovieLens-100k, train, retrain, unlearn, and show the result
# make test   install, then run the tests (no network)
# make slow   the end-to-end tests on real data (minutes)
# make lint   ruff, mypy
# make lowest the contract tests with the lowest versions that requirements.txt allows, in .venv-lowest
# make release  a wheel and an sdist in dist/, tried in an empty environment: to a table of unlearning
# make sif    the container erase.sif, from what is committed (needs apptainer)
# make clean  remove what was built and what runs wrote; data sets stay

PYTHON ?= python3
VENV ?= .venv
# How torch is installed; see "CPU only" in the README.
TORCH ?= $(shell grep '^torch==' constraints.txt)
RUN = $(VENV)/bin/python
# The matrices of the demo and the tests are small: one thread is faster than several that wait for each other.
export OMP_NUM_THREADS ?= 1
CATEGORY ?= horror
FRACTION ?= 0.001
SEED ?= 2
MODEL_ARGS = --model BPR --dataset ml-100k --config_files configs/config_bpr.yaml --seed $(SEED) --sensitive_category $(CATEGORY)
FORGET_ARGS = $(MODEL_ARGS) --unlearning_fraction $(FRACTION)
# BPR on ml-100k rests on a plateau around epoch 20 that ERASE's patience of 10 often takes for the end.
TRAIN_ARGS = --stopping_step 30

.PHONY: demo test slow lint lowest release sif clean install

install: $(VENV)/installed $(VENV)/tools

$(VENV)/installed: requirements.txt constraints.txt setup.py
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; PYTHON=python3.12 make ... chooses one") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet $(TORCH)
	$(RUN) -m pip install --quiet -r requirements.txt -c constraints.txt
	$(RUN) -m pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/tools: $(VENV)/installed requirements-dev.txt
	$(RUN) -m pip install --quiet -r requirements-dev.txt -c constraints.txt
	touch $@

demo: $(VENV)/installed
	$(RUN) dataset/ml-100k/prepare.py
	mkdir -p results
	$(RUN) run_recbole.py $(MODEL_ARGS) $(TRAIN_ARGS) --result_file results/base.json
	for index in 0 1 2 3; do $(RUN) run_recbole.py $(FORGET_ARGS) $(TRAIN_ARGS) --retrain_checkpoint_idx_to_match $$index --result_file results/retrained_$$index.json || exit; done
	$(RUN) unlearn.py $(FORGET_ARGS) --unlearning_algorithm scif --result_file results/scif.json
	$(RUN) unlearn.py $(FORGET_ARGS) --unlearning_algorithm scif --preset tuned --result_file results/scif_tuned.json
	$(RUN) -m recbole.quick_start.report results/scif.json results/scif_tuned.json --brief --csv results/demo.csv
	@echo; echo 'The whole table: results/demo.csv, or the same command without --brief.'

test: $(VENV)/tools
	$(RUN) -m pytest -n 2 -m "not slow"

slow: $(VENV)/tools
	$(RUN) -m pytest -n 2 -m slow

lint: $(VENV)/tools
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

CONTRACTS = tests/model/test_model_contracts.py tests/unlearning/test_contracts.py tests/scenario/test_scenario_contracts.py \
    tests/evaluator/test_metrics.py tests/evaluator/test_probes.py
lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --upgrade pip
	(cat requirements.txt; grep '^scikit-learn' requirements-dev.txt) | sed 's/>=/==/' > .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install --quiet -r .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install --quiet pytest pytest-xdist hypothesis -c .venv-lowest/lowest.txt
	PYTHONPATH=. .venv-lowest/bin/python -m pytest -n 2 -m "not slow" $(CONTRACTS)

release: $(VENV)/tools
	rm -rf build dist
	$(RUN) -m build --quiet --outdir dist .
	release/try_release.sh dist $(PYTHON)

sif:
	rm -rf build/sif && mkdir -p build/sif
	git archive HEAD | tar -x -C build/sif
	cd build/sif && apptainer build --force "$(CURDIR)/erase.sif" ERASE.def

clean:
	rm -rf $(VENV) .venv-lowest build dist erase.sif *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis saved log log_tensorboard results
	find . -name __pycache__ -prune -exec rm -rf {} +
