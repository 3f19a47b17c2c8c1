#!/usr/bin/env bash
# Build the fuzz targets and run each for so many minutes, one after another: cpp/fuzz/run.sh MINUTES [TARGET ...]
#
# Seeds come from the cases of the tests; what a target finds new stays in build/cpp/corpus, and the next run goes on
# from there. A finding ends the run, and the input that makes it again is in build/cpp/findings. PYTHON names the
# interpreter that has edgekit (default: .venv/bin/python).
set -euo pipefail
cd "$(dirname "$0")/../.."
minutes=${1:?usage: cpp/fuzz/run.sh MINUTES [TARGET ...]}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(contents archive npz picture frame)
python=${PYTHON:-.venv/bin/python}

cmake -S cpp --preset fuzz >/dev/null
cmake --build --preset fuzz --target "${targets[@]/#/fuzz_}"
PYTHONPATH=src "$python" cpp/test/cases build/cpp/cases bundles pictures thinned
"$python" cpp/fuzz/seeds.py build/cpp/cases build/cpp/seeds

# Instances of the targets' own temporary folders, which an aborted run would leave.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch
for target in "${targets[@]}"; do
  mkdir -p "build/cpp/corpus/$target" "build/cpp/findings/$target"
  log=build/cpp/findings/$target.log
  # An allocation beyond the limit, a leak and an input that takes a minute are findings too.
  nice -n 19 "build/cpp/fuzz/fuzz/fuzz_$target" -max_total_time=$((minutes * 60)) -timeout=60 -rss_limit_mb=2048 \
    -malloc_limit_mb=1024 -max_len=65536 -print_final_stats=1 -artifact_prefix="build/cpp/findings/$target/" \
    "build/cpp/corpus/$target" "build/cpp/seeds/$target" 2>"$log" || { tail -40 "$log"; echo "$target: a finding"; exit 1; }
  echo "$target: no finding, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $minutes minutes"
done
