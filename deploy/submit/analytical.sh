#!/usr/bin/env bash
# The end-of-day load of one trading day to the report, with plain spark-submit:
#   deploy/submit/analytical.sh 2020-08-06 [options of spark-submit]
exec "$(dirname "$0")/tracked.sh" analytical "$@"
