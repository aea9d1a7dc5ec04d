#!/usr/bin/env bash
# Runs the last five trading days, or those that DAYS names, through the whole pipeline, with the commands that people
# would type. All days are invented. It works only below CAPSTONE_HOME, never on a configured bucket, lake or database;
# if CAPSTONE_HOME may hold people's own days, the demo gets its own home in it.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

python capstone_dagster/cli/prerequisites.py
variables=$(python -m capstone_dagster.cli.demo "${DAYS:-}")
eval "$variables"
# Set by that: those of the platform, first, last, days, options and prefix.
# shellcheck disable=SC2154
range="$first..$last"

say() { printf '\n== %s\n' "$1"; }

say "Sample files of $days trading days"
# shellcheck disable=SC2086
capstone sample "$CAPSTONE_HOME/raw" --days "$days" --first-day "$first" $options

say "The run storage, with the view job_status"
capstone migrate

say "The daily pipeline, day by day"
capstone run "$range"

say "The report, from the first trade on (the end of: capstone show report/quote_analytics $last --limit 26)"
capstone show report/quote_analytics "$last" --limit 26 | sed -n '1p;20,$p'
say "The summary: capstone show report/daily_summary $last --limit 5"
capstone show report/daily_summary "$last" --limit 5

say "The job tracker: capstone status"
capstone status

say "Next"
echo "See it in the Dagster UI:    ${prefix}make dev, then open http://127.0.0.1:3000"
echo "Read it with your own tools: ${prefix}capstone paths report/quote_analytics $last   (capstone is in .venv/bin)"

say "The page of the last day, with charts (again: ${prefix}capstone open $last)"
capstone open "$last"
