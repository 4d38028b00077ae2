#!/usr/bin/env bash
# Checks and times models and algorithms on a GPU, in at most eight minutes; see benchmarks/gpu.py.
# Installs nothing and needs no network. Needs Python 3.11 or newer with torch 2.6 or newer; PYTHON=... selects one.
#   bash benchmarks/gpu.sh                                  the first CUDA device, compared with the CPU
#   bash benchmarks/gpu.sh --device cpu --size tiny         a trial of the script itself, without a GPU
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${PYTHON:-python3}" -u benchmarks/gpu.py "$@"
