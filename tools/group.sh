# Sourced by whatever runs a group of tests: counts them, builds, and says at the end how many passed.
#
#   source tools/group.sh NAME [SUMMARY]
#
# Goes to the package's root. When the shell ends, by whatever way, the counts are printed and written to the file SUMMARY
# as `PASSED FAILED SKIPPED`, and the exit status is 0 only if something passed or was skipped and nothing failed.
set -uo pipefail
group=${1:?the name of a group} summary=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
root=$PWD
passed=0 failed=0 skipped=0
export PYTHONDONTWRITEBYTECODE=1
mkdir -p .build-logs

pass() { echo "ok   $*"; count 1 0 0; }
fail() { echo "FAIL $*"; count 0 1 0; }
skip() { echo "skip $*"; count 0 0 1; }
# check WHAT STATUS: one test that has passed if STATUS is 0.
check() { if [ "$2" -eq 0 ]; then pass "$1"; else fail "$1"; fi; }
count() { passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3)); }
# part WHAT COMMAND...: runs a part of the group, with a file for its counts in place of each argument `@`, and adds what it
# wrote there; a part that wrote nothing has failed.
part() {
  local what=$1 counts good bad quiet argument command=()
  shift
  counts=$(mktemp)
  for argument in "$@"; do
    [ "$argument" = @ ] && argument=$counts
    command+=("$argument")
  done
  "${command[@]}"
  if read -r good bad quiet < "$counts"; then count "$good" "$bad" "$quiet"; else fail "$what did not come to the end"; fi
  rm -f "$counts"
}
# What a script has to put away at its end; it declares its own.
clean_up() { :; }
finish() {
  local status=$?
  trap - EXIT
  clean_up
  [ "$status" -ne 0 ] && [ "$failed" -eq 0 ] && fail "$group ended with status $status"
  [ $((passed + failed + skipped)) -eq 0 ] && fail "$group: no test ran"
  echo "$([ "$group" = gate ] || echo "$group: ")$passed passed, $failed failed$([ "$skipped" -eq 0 ] || echo ", $skipped skipped")"
  [ -n "$summary" ] && echo "$passed $failed $skipped" > "$summary"
  exit $((failed > 0))
}
trap finish EXIT

since=$SECONDS
took() { echo "  ($1: $((SECONDS - since)) s)"; since=$SECONDS; }

# build ARGUMENT...: `tools/build`; the group ends where it fails, for it would test what an earlier build left.
build() { tools/build "$@" || { fail "$group: swift build $* failed"; exit 1; }; }
# build_mend [CONFIGURATION]: builds mend, unless MEND_BINARY names one, and exports its path as MEND_BINARY.
build_mend() {
  [ -n "${MEND_BINARY:-}" ] && return
  local configuration=${1:-debug}
  build -c "$configuration" --product mend
  export MEND_BINARY=$root/.build/$configuration/mend
}
# python_environment: exports MEND_PYTHON, a Python that has grpcio; the group ends without one.
python_environment() {
  export MEND_PYTHON=$root/.build-python/bin/python
  [ -x "$MEND_PYTHON" ] || python3 -m venv .build-python || { fail "$group: python3 makes no environment"; exit 1; }
  python_package grpc grpcio && python_package grpc_tools grpcio-tools || { fail "$group: PyPI's grpcio is missing"; exit 1; }
}
# python_package MODULE PACKAGE: installs PyPI's PACKAGE where MODULE can't be imported.
python_package() {
  "$MEND_PYTHON" -c "import $1" 2> /dev/null || "$MEND_PYTHON" -m pip install -q "$2"
}
# swift_tests LOG ARGUMENT...: runs `swift test` on what is built and counts its tests; shows what failed.
swift_tests() {
  local before=$failed
  counted_swift_tests "$@" || [ "$failed" -gt "$before" ] || fail "$group: swift test failed without a failed test (log: $1)"
}
# The same without a word about the exit status, which it returns. Tests that wait for real processes must not starve each
# other of threads, so they run one after the other.
counted_swift_tests() {
  local log=$1 total bad quiet status
  shift
  swift test --skip-build --no-parallel "$@" > "$log" 2>&1 < /dev/null
  status=$?
  grep -E '^✘ Test .* (recorded an issue|failed after)|error:|Fatal' "$log" | head -60
  total=$(sed -nE 's/^(✔|✘) Test run with ([0-9]+) tests?.*/\2/p' "$log" | awk '{n += $1} END {print n + 0}')
  bad=$(grep -E '^✘ Test .* failed after' "$log" | grep -vc '^✘ Test run with')
  quiet=$(grep -cE '^(➜|→).*skipped' "$log")
  count $((total - bad - quiet)) "$bad" "$quiet"
  [ "$total" -eq 0 ] && fail "$group: the tests did not come to their end (log: $log)"
  return $status
}
