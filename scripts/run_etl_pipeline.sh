#!/usr/bin/env bash
# Run the three stages one after the other, without a broker, for cron:
#   0 1 * * *  /path/to/callcentersite/scripts/run_etl_pipeline.sh >>/var/log/callcentersite-etl.log 2>&1
# Exit status 1, 2 or 3: extract, transform or load failed; 4: it was given arguments. A source that fails does not stop the others.
# A source that GitHub asks to wait is postponed, which is not a failure: the next call continues where it stopped.
set -u
cd "$(dirname "$0")/.."
if [ $# -gt 0 ]; then
  echo "error: $(basename "$0") takes no arguments: it runs every enabled source; etl_run and the stage commands take --source and --run" >&2
  exit 4
fi
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3)

run_stages() {
  local first_failure=0 stage=0 status
  for command in etl_extract etl_transform etl_load; do
    stage=$((stage + 1))
    "$python" manage.py "$command"
    status=$?
    [ "$status" != 130 ] || return 130 # interrupted by Ctrl-C
    [ "$status" = 0 ] || [ "$first_failure" != 0 ] || first_failure=$stage
  done
  return "$first_failure"
}

# Print an error that stops all three stages, such as a database that does not answer, only once. Ctrl-C must not end awk before it has printed.
print_errors_once() { trap '' INT; exec awk '!/^error: / || !said[$0]++ { print; fflush() }' >&2; }
{ run_stages 2>&1 >&3 | print_errors_once; exit "${PIPESTATUS[0]}"; } 3>&1
