#!/usr/bin/env bash
# clang-tidy (cpp/.clang-tidy) over the library, the tool and the tests; a finding is an error.
#
#   cpp/tools/tidy.sh            files that differ from main
#   cpp/tools/tidy.sh --all      all files
#   cpp/tools/tidy.sh FILE...    these
#
# Needs a configured build: BUILD=build/cpp/release; CLANG_TIDY names another clang-tidy.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/../.."
build=${BUILD:-build/cpp/release}
tidy=${CLANG_TIDY:-$(command -v clang-tidy-19 || command -v clang-tidy || true)}
[ -n "$tidy" ] || { echo "clang-tidy is missing: apt-get install clang-tidy-19" >&2; exit 3; }
[ -f "$build/compile_commands.json" ] || { echo "$build is not configured: cmake -S cpp --preset release" >&2; exit 2; }
case "${1:-}" in
  --all) mapfile -t files < <(git ls-files 'cpp/src/*.cpp' 'cpp/test/*.cpp' 'cpp/bench/*.cpp') ;;
  "") mapfile -t files < <(git diff --name-only --diff-filter=d main -- 'cpp/src/*.cpp' 'cpp/test/*.cpp') ;;
  *) files=("$@") ;;
esac
# Those that this build compiles: a backend that is switched off has no command.
known=$(grep -o '"file": "[^"]*"' "$build/compile_commands.json" | cut -d'"' -f4)
chosen=()
for file in "${files[@]}"; do grep -qxF "$(realpath "$file")" <<< "$known" && chosen+=("$file"); done
[ ${#chosen[@]} -gt 0 ] || { echo "no file to look at"; exit 0; }
printf '%s\0' "${chosen[@]}" | xargs -0 -n 4 -P "${WORKERS:-1}" "$tidy" --quiet -p "$build" --extra-arg=-Wno-unknown-warning-option
