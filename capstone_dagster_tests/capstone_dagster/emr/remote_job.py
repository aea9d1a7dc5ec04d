"""A job of one step without Spark, and the step as the host hands it to a cluster.

What the step does is said in its config: one of the functions below, and a folder or bucket to do it to.
"""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import dagster as dg
from dagster._core.definitions.step_launcher import StepRunRef
from dagster._core.execution.retries import RetryMode
from dagster._core.utils import make_new_run_id

from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.servers.s3_server import s3_client


def succeed(context: dg.OpExecutionContext, folder: str) -> None:
    """With two lines in the log, the second when the first is stored."""
    context.log.info("first")
    eventually(Path(folder, "events", "000001.json").exists, seconds=30)
    context.log.info("second")


def fail(context: dg.OpExecutionContext, folder: str) -> None:
    del context, folder
    raise dg.Failure("a bad day", allow_retries=False)


def ask_to_be_tried_again(context: dg.OpExecutionContext, folder: str) -> None:
    del context, folder
    raise dg.RetryRequested(max_retries=3)


def tell_lake(context: dg.OpExecutionContext, folder: str) -> None:
    """Fail with a setting of the environment."""
    del context, folder
    raise dg.Failure(os.environ["CAPSTONE_LAKE_URI"], allow_retries=False)


def cut_off(context: dg.OpExecutionContext, bucket: str) -> None:
    """Go on, but nothing can be stored any more."""
    eventually(lambda: _is_removed(bucket), seconds=30)
    context.log.info("nobody will hear this")


def _is_removed(bucket: str) -> bool:
    for listed in s3_client().list_objects_v2(Bucket=bucket).get("Contents", []):
        s3_client().delete_object(Bucket=bucket, Key=listed["Key"])
    try:
        s3_client().delete_bucket(Bucket=bucket)
    except s3_client().exceptions.ClientError:  # something was stored in between
        return False
    return True


_WAYS: dict[str, Callable[[dg.OpExecutionContext, str], None]] = {
    way.__name__: way for way in (succeed, fail, ask_to_be_tried_again, tell_lake, cut_off)
}


@dg.op(config_schema={"way": str, "where": str})
def work(context: dg.OpExecutionContext) -> None:
    _WAYS[context.op_config["way"]](context, context.op_config["where"])


@dg.job
def one_step() -> None:
    work()


def step_run_ref(way: Callable[[dg.OpExecutionContext, str], None], where: object) -> bytes:
    """The step, pickled."""
    config = {"ops": {"work": {"config": {"way": way.__name__, "where": str(where)}}}}
    run = dg.DagsterRun("one_step", make_new_run_id(), run_config=config)
    job = dg.reconstructable(one_step)
    return pickle.dumps(StepRunRef(config, run, run.run_id, RetryMode.ENABLED, "work", job, None))
