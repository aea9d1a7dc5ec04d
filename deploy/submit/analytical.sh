#!/usr/bin/env bash
# Makes the report of one trading day from its end-of-day load, with plain spark-submit:
#   deploy/submit/analytical.sh 2020-08-06 [options of spark-submit]
exec "$(dirname "$0")/tracked.sh" analytical "$@"
