"""What the launcher adds to a step on EMR: the report of a day, beside a bare spark-submit of the same report.

Both are steps of one cluster of the fake EMR on this machine, which runs them with spark-submit and S3. The
launcher's share is everything else of its run: code and step put on S3, Dagster imported and the definitions
built on the cluster, events brought back, checks, the preview of the rows. The host's definitions are built before:
every run loads them, wherever its steps run.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch
from uuid import uuid4

import boto3
import click
import dagster as dg

from benchmarks.timing import Baseline, Findings, Target, compare
from capstone_dagster.definitions import build_defs
from capstone_dagster.deliveries.sample import Sample
from capstone_dagster.emr import code_archive
from capstone_dagster.emr.step_calls import ENDED
from capstone_dagster.settings import CHECKOUT, Settings
from capstone_dagster.trading_days import parse_day
from fake_aws.emr import FakeEmr
from fake_aws.emr_image import CREDENTIALS, REGION
from fake_aws.s3_server import s3_server
from fake_aws.standing_cluster import standing_cluster
from spark_code.session import ENGINE_CONF
from spark_code.storage import Storage

_DAY = "2020-08-05"
_EVENTS, _SYMBOLS = 20_000, 20
_ROUNDS = 3
_POLL_SECONDS = 0.5
# The launcher's own, and one poll until the end of the step is seen.
_OWN = Target(3.0 + _POLL_SECONDS, "own")


@dataclass
class _Cluster:
    """One cluster, on which days are preprocessed."""

    settings: Settings
    id: str
    code: str
    main: str
    defs: dg.Definitions
    last_job: str = ""

    def bare(self) -> None:
        """The report as a spark-submit that nobody but EMR knows of."""
        conf = [part for key, value in ENGINE_CONF.items() for part in ("--conf", f"{key}={value}")]
        arguments = ["analytical", "--date", _DAY, "--first-day", "--lake", self.settings.lake_uri]
        submit = ["/usr/lib/spark/bin/spark-submit", "--master", "yarn", "--deploy-mode", "client", *conf]
        step = {
            "Name": f"bare {uuid4()}",
            "ActionOnFailure": "CONTINUE",
            "HadoopJarStep": {
                "Jar": "command-runner.jar",
                "Args": [*submit, "--py-files", self.code, self.main, *arguments],
            },
        }
        emr = boto3.client("emr")
        (step_id,) = emr.add_job_flow_steps(JobFlowId=self.id, Steps=[step])["StepIds"]
        state = "PENDING"
        while state not in ENDED:
            time.sleep(0.02)
            state = emr.describe_step(ClusterId=self.id, StepId=step_id)["Step"]["Status"]["State"]
        if state != "COMPLETED":
            raise click.ClickException(f"the bare step ended {state}")

    def run(self, job: str) -> None:
        """A run of Dagster whose step goes through the launcher."""
        from capstone_dagster import definitions  # noqa: PLC0415 - now that the environment is what it shall be

        form = definitions.code_location().get_reconstructable_job(job)
        if self.last_job != job:
            type(form).get_definition.cache_clear()  # of the definitions that another subject has built
            type(form).get_repository_definition.cache_clear()
            self.last_job = job
        tags, quiet = {"dagster/partition": _DAY}, {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with (
            patch.object(definitions, "defs", self.defs),
            dg.DagsterInstance.ephemeral() as instance,
            dg.execute_job(form, instance=instance, tags=tags, run_config=quiet) as result,
        ):
            if not result.success:
                raise click.ClickException(f"{job} failed")


def measure() -> Findings:
    """One group: the bare step, and the run."""
    with _cluster() as cluster:
        cluster.run("preprocessing")
        group = compare(
            Baseline("a bare spark-submit of the report", cluster.bare, is_part=True),
            {f"the run of its job, looking every {_POLL_SECONDS} s": (lambda: cluster.run("analytical"), _OWN)},
            rounds=_ROUNDS,
        )
    return Findings(given=f"{_EVENTS:,} events of a day on the fake EMR, local[2]", groups=[group])


@contextmanager
def _cluster() -> Iterator[_Cluster]:
    with TemporaryDirectory() as home, s3_server() as s3, FakeEmr(s3_endpoint=s3) as emr:
        given = {
            **dict.fromkeys(Settings.variables(), ""),
            **CREDENTIALS,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": s3,
            "AWS_ENDPOINT_URL_EMR": emr.endpoint,
            "CAPSTONE_HOME": home,
            "CAPSTONE_DEPLOYMENT": "emr",
            "CAPSTONE_FIRST_TRADING_DAY": _DAY,
            "CAPSTONE_RAW_URI": "s3://bench/raw",
            "CAPSTONE_LAKE_URI": "s3://bench/lake",
            "CAPSTONE_EMR_STAGING_URI": "s3://bench/staging",
            "CAPSTONE_EMR_POLL_SECONDS": str(_POLL_SECONDS),
        }
        with patch.dict(os.environ, given):
            boto3.client("s3").create_bucket(Bucket="bench")
            list(Sample(symbols=_SYMBOLS, events=_EVENTS, seed=7).write("s3://bench/raw", parse_day(_DAY), 1))
            created = standing_cluster(emr)
            settings = Settings.from_mapping({**given, "CAPSTONE_EMR_CLUSTER_ID": created})
            staging = Storage("s3://bench/staging")
            staging.write("submit.py", Path(CHECKOUT, "spark_code", "submit.py").read_bytes())
            code = code_archive.upload(staging, code_archive.build())
            yield _Cluster(settings, created, code, staging.uri("submit.py"), build_defs(settings))
