#!/usr/bin/env bash
# Makes the end-of-day load of one trading day from its raw files, with plain spark-submit:
#   deploy/submit/preprocessing.sh 2020-08-06 [options of spark-submit]
exec "$(dirname "$0")/tracked.sh" preprocessing "$@"
