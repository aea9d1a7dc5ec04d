#!/usr/bin/env bash
# Runs a sample day on EMR without an AWS account: S3 and EMR are servers on this machine (fake_aws), which really run
# the steps with spark-submit; with WORKERS=2, on a Spark cluster of two workers. Then it runs the same day here without
# EMR, and compares the numbers.
# It works only below CAPSTONE_HOME/demo_emr, and leaves no process behind.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
day=2020-08-05

python capstone_dagster/cli/prerequisites.py
CAPSTONE_HOME=$(python -c '
from capstone_dagster.settings import Settings
print(Settings.from_environment().home / "demo_emr")')
# Unset everything that is configured for real work.
for name in $(python -c 'from capstone_dagster.settings import Settings; print(*Settings.variables())'); do
    [ "$name" = CAPSTONE_HOME ] || export "$name="
done
export CAPSTONE_HOME CAPSTONE_FIRST_TRADING_DAY=$day
mkdir -p "$CAPSTONE_HOME"

say() { printf '\n== %s\n' "$1"; }

say "The S3 client of Spark on this machine: capstone s3-jars"
capstone s3-jars

say "S3 and EMR on this machine"
servers="$CAPSTONE_HOME/servers.env"
rm -f "$servers"
python -m fake_aws --workers "${WORKERS:-0}" --env-file "$servers" >"$CAPSTONE_HOME/servers.log" 2>&1 </dev/null &
fake=$!
trap 'kill $fake 2>/dev/null || true; wait $fake 2>/dev/null || true' EXIT
until [ -s "$servers" ]; do
    kill -0 $fake 2>/dev/null || { cat "$CAPSTONE_HOME/servers.log" >&2; exit 1; }
    sleep 0.2
done
# shellcheck disable=SC1090
source "$servers"
unset AWS_PROFILE AWS_SESSION_TOKEN
echo "S3 answers at $AWS_ENDPOINT_URL_S3, EMR at $AWS_ENDPOINT_URL_EMR"
python -c 'import boto3; boto3.client("s3").create_bucket(Bucket="demo")'

say "Sample files of $day on s3://demo/raw, and the same in a folder"
capstone sample s3://demo/raw --days 1 --symbols 12 --events 20000 --first-day $day
capstone sample "$CAPSTONE_HOME/raw" --days 1 --symbols 12 --events 20000 --first-day $day >/dev/null

say "The daily pipeline on EMR: CAPSTONE_DEPLOYMENT=emr capstone run $day"
(
    export CAPSTONE_DEPLOYMENT=emr CAPSTONE_RAW_URI=s3://demo/raw CAPSTONE_LAKE_URI=s3://demo/lake
    export CAPSTONE_EMR_STAGING_URI=s3://demo/staging CAPSTONE_EMR_POLL_SECONDS=1
    capstone run $day
    say "What EMR has seen"
    python - <<'PYTHON'
import boto3

emr = boto3.client("emr")
for cluster in emr.list_clusters()["Clusters"]:
    print(f"cluster {cluster['Id']}  {cluster['Status']['State']:<12} {cluster['Name']}")
    for step in reversed(emr.list_steps(ClusterId=cluster["Id"])["Steps"]):
        print(f"  step {step['Id']}  {step['Status']['State']:<12} {step['Name']}")
PYTHON
    say "The summary: capstone show report/daily_summary $day --limit 5"
    capstone show report/daily_summary $day --limit 5
    for table in eod/closes report/quote_analytics report/daily_summary; do
        capstone show $table $day --limit 1000000 >"$CAPSTONE_HOME/emr_${table//\//_}.txt"
    done
)

say "The same day without EMR: capstone run $day"
capstone run $day
for table in eod/closes report/quote_analytics report/daily_summary; do
    capstone show $table $day --limit 1000000 | sort >"$CAPSTONE_HOME/local.txt"
    sort "$CAPSTONE_HOME/emr_${table//\//_}.txt" | cmp - "$CAPSTONE_HOME/local.txt"
    echo "$table: the same $(grep -c . "$CAPSTONE_HOME/local.txt") lines, from EMR and from here"
done
