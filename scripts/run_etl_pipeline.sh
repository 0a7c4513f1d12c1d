#!/usr/bin/env bash
# The three stages in a row, without a broker, for people who keep cron:
#   0 1 * * *  /path/to/callcentersite/scripts/run_etl_pipeline.sh >>/var/log/callcentersite-etl.log 2>&1
# Exit status 1, 2 or 3: extract, transform or load failed. A source that fails does not keep the others from going on.
set -u
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3)
first_failure=0
stage=0
for command in etl_extract etl_transform etl_load; do
  stage=$((stage + 1))
  "$python" manage.py "$command" || { [ "$first_failure" != 0 ] || first_failure=$stage; }
done
exit "$first_failure"
