"""Every tag of a run that this project reads or sets, and what a run is by its tags.

The names of Dagster's own are documented, unlike the module in which it keeps them.
"""

from datetime import date

import dagster as dg

# Dagster's, which people may set or see.
PARTITION_TAG = "dagster/partition"
# What Dagster's own kind of several dimensions begins with; there are none here.
PARTITION_PREFIX = "dagster/partition/"
# The first and the last day of a run over several.
RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
BACKFILL_TAG = "dagster/backfill"
# A backfill, and those that it goes on from.
BACKFILL_TAGS = (BACKFILL_TAG, "dagster/parent_backfill_id", "dagster/root_backfill_id")
RUN_KEY_TAG = "dagster/run_key"
PRIORITY_TAG = "dagster/priority"
MAX_RUNTIME_TAG = "dagster/max_runtime"
REPOSITORY_TAG = ".dagster/repository"
# The code server that has started it.
CODE_SERVER_TAG = ".dagster/grpc_info"
# A run that is tried again: how often it may be, whether it will be, as which run; and of that one, which try it is.
MAX_RETRIES_TAG = "dagster/max_retries"
WILL_RETRY_TAG = "dagster/will_retry"
RETRIED_AS_TAG = "dagster/auto_retry_run_id"
RETRY_NUMBER_TAG = "dagster/retry_number"
# A run that goes on where another has failed has the first; one of chosen assets may have the second instead.
RESUME_TAG = "dagster/is_resume_retry"
RESUME_TAGS = (RESUME_TAG, "dagster/is_asset_resume_retry")

# Ours that the UI shows: the files that a run was started for, its cluster on EMR, and on a run over several days and
# on those of its days, the first run of those that resume each other.
DELIVERIES_TAG = "capstone/deliveries"
CLUSTER_TAG = "capstone/emr_cluster"
DAYS_TAG = "capstone/range"

# Ours that it hides, as all that begins so. Each has the run's own id in it: a run that is started anew has a copy of
# the tags of the one before. Who works on it; how long it may not be heard of; that it stands for work outside Dagster;
# that it was refused before its first step, and so is no attempt at a job.
WORKER_TAG = ".dagster/capstone_worker"
LEASE_TAG = ".dagster/capstone_lease"
OUTSIDE_TAG = ".dagster/capstone_outside"
REFUSED_TAG = ".dagster/capstone_refused"


def covers(run: dg.DagsterRun, day: date) -> bool:
    """Whether the run works on the day, alone or in a range of days."""
    first, last = (run.tags.get(tag, run.tags.get(PARTITION_TAG, "")) for tag in RANGE_TAGS)
    return first <= day.isoformat() <= last


def was_refused(run: dg.DagsterRun) -> bool:
    """Whether the run was refused before its first step; a run that re-executes it has a copy of its tags."""
    return run.tags.get(REFUSED_TAG) == run.run_id


def is_over_days(run: dg.DagsterRun) -> bool:
    """Whether the run goes through a range of days instead of working on one."""
    return PARTITION_TAG not in run.tags and all(tag in run.tags for tag in RANGE_TAGS)
