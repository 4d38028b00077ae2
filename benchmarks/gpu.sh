#!/usr/bin/env bash
# What a GPU does with the models and algorithms, in at most eight minutes: see benchmarks/gpu.py.
# Installs nothing and needs no network: any Python 3.11 or newer with torch 2.6 or newer (PYTHON=... chooses one).
#   bash benchmarks/gpu.sh                                  the first CUDA device, beside the CPU
#   bash benchmarks/gpu.sh --device cpu --size tiny         a trial of the script itself
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${PYTHON:-python3}" -u benchmarks/gpu.py "$@"
