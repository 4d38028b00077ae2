#!/usr/bin/env bash
# From a wheel, an sdist and the container's sections to a table of unlearning, each in an empty folder:
#
#   release/try_release.sh DIST [PYTHON]
#
# DIST holds one .whl and one .tar.gz (make release writes them to dist/). One environment takes turns with the three;
# data are fetched once.
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dist=$(cd "$1" && pwd)
python=${2:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
unset PYTHONPATH PYTHONDONTWRITEBYTECODE

"$python" -m venv "$work/venv"
export PATH="$work/venv/bin:$PATH"
pip install --quiet --upgrade pip
pip install --quiet "torch==$(sed -n 's/^torch==//p' "$checkout/constraints.txt")"

# Prepares, trains, retrains, unlearns and prints a table: what it is given runs a program of the family.
to_a_table() {
  local folder="$work/$1" HOME="$work/home" # there is no such folder: nothing may be written to a home
  shift
  mkdir "$folder"
  cd "$folder"
  if [ -d "$work/data" ]; then cp -r "$work/data" dataset; else "$@" prepare ml-100k; cp -r dataset "$work/data"; fi
  local model=(--model BPR --dataset ml-100k --config_files configs/config_bpr.yaml --epochs 3)
  local forget=(--sensitive_category horror --unlearning_fraction 0.001)
  "$@" train "${model[@]}"
  "$@" train "${model[@]}" "${forget[@]}" --retrain_checkpoint_idx_to_match 3
  "$@" unlearn "${model[@]}" "${forget[@]}" --unlearning_algorithm scif --result_file results.json
  "$@" report results.json --brief
  cd "$work"
}

for file in "$dist"/*.whl "$dist"/*.tar.gz; do
  echo "== $(basename "$file")"
  pip install --quiet --force-reinstall --no-deps "$file"
  pip install --quiet -c "$checkout/constraints.txt" "$file"
  to_a_table "$(basename "$file")" erase-bench
done

echo "== the sections of ERASE.def"
pip uninstall --quiet --yes erase-bench
section() { python "$checkout/release/sections.py" "$work/root" "$@"; }
section files
section post
section test
to_a_table container section runscript
# RecBole in the same environment, installed before and after: the commands stop, and say why.
if pip download --quiet --no-deps --dest "$work/other" recbole==1.2.1; then
  for later in ours theirs; do
    files=("$work"/other/*.whl "$dist"/*.whl)
    if [ $later = theirs ]; then files=("$dist"/*.whl "$work"/other/*.whl); fi
    pip uninstall --quiet --yes erase-bench recbole
    for file in "${files[@]}"; do pip install --quiet --no-deps "$file"; done
    status=0
    erase-bench --version || status=$?
    [ "$status" = 2 ]
  done
fi
echo "From wheel, sdist and container to a table: all three"
