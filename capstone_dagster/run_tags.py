"""Every run tag that this project reads or sets, and what the tags say about a run.

Dagster documents the names of its own tags, but not the module that holds them.
"""

from datetime import date

import dagster as dg

# Dagster's tags, which people may set or see.
PARTITION_TAG = "dagster/partition"
# The prefix of Dagster's tags for partitions of several dimensions; there are none here.
PARTITION_PREFIX = "dagster/partition/"
# The first and the last day of a run over several days.
RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
BACKFILL_TAG = "dagster/backfill"
# A backfill, and the backfills that it continues.
BACKFILL_TAGS = (BACKFILL_TAG, "dagster/parent_backfill_id", "dagster/root_backfill_id")
RUN_KEY_TAG = "dagster/run_key"
PRIORITY_TAG = "dagster/priority"
# Who has launched the run: the UI shows it.
USER_TAG = "user"
MAX_RUNTIME_TAG = "dagster/max_runtime"
REPOSITORY_TAG = ".dagster/repository"
# The code server that has started the run.
CODE_SERVER_TAG = ".dagster/grpc_info"
# Retries: how often a run may be tried again, whether it will be, by which run, and the number of that attempt.
MAX_RETRIES_TAG = "dagster/max_retries"
WILL_RETRY_TAG = "dagster/will_retry"
RETRIED_AS_TAG = "dagster/auto_retry_run_id"
RETRY_NUMBER_TAG = "dagster/retry_number"
# A run that continues where another has failed has the first; a run of selected assets may have the second instead.
RESUME_TAG = "dagster/is_resume_retry"
RESUME_TAGS = (RESUME_TAG, "dagster/is_asset_resume_retry")

# Our tags that the UI shows: the files that a run was started for, its cluster on EMR, and for a run over several days
# and the runs of its days, the first of the runs over these days that resume each other.
DELIVERIES_TAG = "capstone/deliveries"
CLUSTER_TAG = "capstone/emr_cluster"
DAYS_TAG = "capstone/range"

# Our tags that the UI hides because of their prefix. Each contains the run's own id, because a re-execution has a copy
# of the tags of its parent. They say who works on the run; who asked its code server to start it; how long it may stay
# silent; that it stands for work outside Dagster; that it was refused before its first step, and is no attempt at a
# job; who has rolled back a table, and why.
WORKER_TAG = ".dagster/capstone_worker"
LAUNCHER_TAG = ".dagster/capstone_launcher"
LEASE_TAG = ".dagster/capstone_lease"
OUTSIDE_TAG = ".dagster/capstone_outside"
REFUSED_TAG = ".dagster/capstone_refused"
ROLLBACK_TAG = ".dagster/capstone_rollback"


def covers(run: dg.DagsterRun, day: date) -> bool:
    """Whether the run works on the day, alone or as part of a range."""
    first, last = (run.tags.get(tag, run.tags.get(PARTITION_TAG, "")) for tag in RANGE_TAGS)
    return first <= day.isoformat() <= last


def was_refused(run: dg.DagsterRun) -> bool:
    """Whether the run was refused before its first step; a re-execution has a copy of its tags."""
    return run.tags.get(REFUSED_TAG) == run.run_id


def number_in(run: dg.DagsterRun, tag: str) -> int:
    """The number in a tag, as Dagster reads it: 0 if there is none, or if somebody has typed something else."""
    try:
        return int(run.tags.get(tag, "0"))
    except ValueError:
        return 0


def is_over_days(run: dg.DagsterRun) -> bool:
    """Whether the run is over a range of days instead of one day."""
    return PARTITION_TAG not in run.tags and all(tag in run.tags for tag in RANGE_TAGS)
