#!/usr/bin/env bash
# Runs one job of one trading day under the job tracker, in the job's slot, with its status and tables in the UI.
#   tracked.sh preprocessing|analytical DATE [options of spark-submit]
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: deploy/submit/${1:-preprocessing}.sh DATE [options of spark-submit]" >&2
    exit 2
fi
case " $* " in
    *" --master "* | *" --master="*)
        echo "say where Spark runs with SPARK_MASTER, not with --master: other settings depend on it" >&2
        exit 2
        ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
capstone="$here/../../.venv/bin/capstone"
[ -x "$capstone" ] || capstone=capstone
exec "$capstone" track --job "$1" --date "$2" -- "$here/spark_submit.sh" "$@"
