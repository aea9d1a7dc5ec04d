#!/usr/bin/env bash
# Runs three sample days through the whole pipeline, with the commands that people would type.
# It works only below CAPSTONE_HOME, never on a configured bucket, lake or database. If raw files or a lake are
# configured, even CAPSTONE_HOME may hold real days: then the demo gets its own home.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

configured_home=$(python -c 'from capstone_dagster.settings import Settings; print(Settings.from_environment().home)')
CAPSTONE_HOME=$(python -c '
from capstone_dagster.settings import Settings
own = Settings.from_environment()
is_default = (own.raw_uri, own.lake_uri) == (f"{own.home}/raw", f"{own.home}/lake")
print(own.home if is_default else own.home / "demo")')
export CAPSTONE_HOME
export CAPSTONE_RAW_URI="$CAPSTONE_HOME/raw" CAPSTONE_LAKE_URI="$CAPSTONE_HOME/lake"
export CAPSTONE_POSTGRES_URL="" CAPSTONE_FIRST_TRADING_DAY=2020-08-05

say() { printf '\n== %s\n' "$1"; }

python capstone_dagster/cli/prerequisites.py
say "Sample files of three trading days"
capstone sample "$CAPSTONE_RAW_URI" --days 3 --symbols 12 --events 100000 --first-day 2020-08-05 --seed 7

say "The run storage, with the view job_status"
capstone migrate

say "The daily pipeline, day by day"
capstone run 2020-08-05..2020-08-07

say "The report, from the first trade on (the end of: capstone show report/quote_analytics 2020-08-07 --limit 26)"
capstone show report/quote_analytics 2020-08-07 --limit 26 | sed -n '1p;20,$p'
say "The summary: capstone show report/daily_summary 2020-08-07 --limit 5"
capstone show report/daily_summary 2020-08-07 --limit 5

say "The job tracker: capstone status"
capstone status

say "Next"
if [ "$CAPSTONE_HOME" = "$configured_home" ]; then
    echo "See it in the Dagster UI:    make dev, then open http://127.0.0.1:3000"
else
    echo "See it in the Dagster UI:    CAPSTONE_HOME='$CAPSTONE_HOME' make dev, then open http://127.0.0.1:3000"
fi
echo "Read it with your own tools: capstone paths report/quote_analytics 2020-08-07   (capstone is in .venv/bin)"

say "The page of the last day, with charts (again: capstone open 2020-08-07)"
capstone open 2020-08-07
