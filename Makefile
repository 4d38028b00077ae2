# make demo   install, fetch MovieLens-100k, train, retrain, unlearn, and show the result
# make test   install, then run the tests (no network)
# make slow   the end-to-end tests on real data (minutes)
# make lint   ruff, mypy
# make clean  remove what was built and what runs wrote; data sets stay

PYTHON ?= python3
VENV ?= .venv
# How torch is installed; see "CPU only" in the README.
TORCH ?= $(shell grep '^torch==' requirements.txt)
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

.PHONY: demo test slow lint clean install

install: $(VENV)/installed $(VENV)/tools

$(VENV)/installed: requirements.txt setup.py
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; PYTHON=python3.12 make ... chooses one") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet $(TORCH)
	$(RUN) -m pip install --quiet -r requirements.txt
	$(RUN) -m pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/tools: $(VENV)/installed requirements-dev.txt
	$(RUN) -m pip install --quiet -r requirements-dev.txt
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

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis saved log log_tensorboard results
	find . -name __pycache__ -prune -exec rm -rf {} +
