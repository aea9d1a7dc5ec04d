#!/usr/bin/env bash
# Runs spark-submit under `capstone track`, which sets all settings as CAPSTONE_* and the run as TRACKED_*.
#   SPARK_MASTER   where Spark runs (default: local[*])
#   SPARK_SUBMIT   the spark-submit to use (default: that of the virtual environment)
set -euo pipefail
if [ -z "${TRACKED_RUN_ID:-}" ]; then
    echo "this runs under capstone track: start deploy/submit/preprocessing.sh or analytical.sh instead" >&2
    exit 2
fi
job=$1 date=$2
shift 2
cd "$(dirname "$0")/../.."

package="$CAPSTONE_HOME/spark_code.zip"
part=$(mktemp -d "$CAPSTONE_HOME/spark_code.XXXXXX")
trap 'rm -rf "$part"' EXIT
python3 -m zipfile -c "$part/spark_code.zip" spark_code
mv -f "$part/spark_code.zip" "$package" # atomically: another job may be reading it
rm -rf "$part"

conf=(--master "${SPARK_MASTER:-local[*]}" --name "${job}_$date" --py-files "$package")
if [[ ${SPARK_MASTER:-local} == local* ]]; then
    # One process, with the same settings as other local runs.
    mkdir -p "$CAPSTONE_HOME/logs"
    settings=$(capstone spark-conf)
    while IFS= read -r setting; do conf+=(--conf "$setting"); done <<<"$settings"
fi

arguments=(--date "$date" --raw "$CAPSTONE_RAW_URI" --lake "$CAPSTONE_LAKE_URI" --run-id "$TRACKED_RUN_ID")
arguments+=(--keep-versions "${CAPSTONE_KEEP_VERSIONS:-2}")
if [ -n "${CAPSTONE_GLUE_DATABASE:-}" ]; then
    arguments+=(--glue-database "$CAPSTONE_GLUE_DATABASE")
fi
case $job in
    analytical)
        if [ -n "$TRACKED_PREVIOUS_DAY" ]; then
            arguments+=(--previous-day "$TRACKED_PREVIOUS_DAY")
        else
            arguments+=(--first-day)
        fi
        # The later of two limits of one measure counts.
        limits="rejected_ratio=${CAPSTONE_MAX_REJECT_RATIO:-0.05} ${CAPSTONE_QUALITY_LIMITS:-}"
        arguments+=(--quality-limits "$limits")
        ;;
esac
# Java warns of the module that Spark asks it for, whatever anybody does. What filters ends with Spark, not before it: a
# Ctrl-C goes to both, and Spark's last lines come after it.
exec "${SPARK_SUBMIT:-spark-submit}" "${conf[@]}" "$@" spark_code/submit.py "$job" "${arguments[@]}" \
    2> >(trap '' INT TERM; exec grep -a --line-buffered -vx 'WARNING: Using incubator modules: jdk.incubator.vector' >&2)
