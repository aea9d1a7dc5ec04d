"""The program of a step on the cluster: checks the versions, and then runs ``remote_step``.

The host uploads it beside the step, and spark-submit runs it with the archive on the path. It imports nothing that
needs Dagster before it knows that the versions are right.
"""

import os
import posixpath
import sys
from pathlib import PurePosixPath
from threading import Thread

import boto3
from botocore.exceptions import ClientError

from capstone_dagster.emr.attempt_folder import BEGUN, END, LAUNCH, End, Launch


def main(bucket: str, step_run_ref_key: str, region: str) -> int:
    """Run the step; its exit code becomes that of the EMR step."""
    s3, folder = boto3.client("s3", region_name=region), posixpath.dirname(step_run_ref_key)

    def read(name: str) -> bytes:
        content: bytes = s3.get_object(Bucket=bucket, Key=f"{folder}/{name}")["Body"].read()
        return content

    launch = Launch.from_json(read(LAUNCH))
    if refusal := launch.refusal():
        s3.put_object(Bucket=bucket, Key=f"{folder}/{END}", Body=End(0, refusal).to_json())
        return 1
    try:
        s3.put_object(Bucket=bucket, Key=f"{folder}/{BEGUN}", Body=b"", IfNoneMatch="*")
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 412:
            raise
        return 0  # submitted twice, because an answer was lost: the other attempt does the work
    # The definitions are built again here, with the settings of the host.
    os.environ.update(launch.environment)
    # Start Spark's session in parallel; if that fails, the step fails when it asks for the session.
    Thread(target=_start_spark, daemon=True).start()

    from capstone_dagster.emr.on_cluster.remote_step import run  # noqa: PLC0415 - needs the versions and the environment

    return run(f"s3://{bucket}/{folder}", read(PurePosixPath(step_run_ref_key).name))


def _start_spark() -> None:
    from spark_code.session import start  # noqa: PLC0415 - runs in parallel with the imports of Dagster

    start({})


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
