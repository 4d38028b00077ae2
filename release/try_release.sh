#!/usr/bin/env bash
# Test a release: install it from the wheel, from the sdist and by the container's sections, and each time prepare data,
# train, retrain, unlearn and print the result table in an empty folder:
#
#   release/try_release.sh DIST [PYTHON]
#
# DIST contains one .whl and one .tar.gz (make release writes them to dist/). The three are installed one after another
# in the same environment. The data are downloaded once.
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

# to_a_table NAME COMMAND...: prepare, train, retrain, unlearn and print a table in the folder NAME. COMMAND runs
# erase-bench.
to_a_table() {
  local folder="$work/$1" HOME="$work/home" # this folder does not exist: nothing may be written to the home folder
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
# With RecBole in the same environment, installed before or after, the commands must stop with exit status 2.
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
echo "The wheel, the sdist and the container's sections all work"
