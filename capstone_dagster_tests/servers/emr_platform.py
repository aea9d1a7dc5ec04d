"""A platform whose Spark steps run on a fake EMR, with raw files and lake on an S3 server, all on loopback.

Most tests tell the fake how a step ends, and run the job in this process: quick, no Spark. Those in which
steps really run use ``capstone`` in a process of its own.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg

from capstone_dagster.definitions import build_defs
from capstone_dagster.runs.failure_reasons import run_reason
from capstone_dagster.settings import Settings
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.processes import eventually
from fake_aws.emr import FakeEmr
from fake_aws.standing_cluster import standing_cluster

DAY = date(2020, 8, 5)
# Quick enough for tests; the limits of minutes are fractions of one.
QUICK = {
    "CAPSTONE_EMR_POLL_SECONDS": "0.1",
    "CAPSTONE_EMR_LOG_SECONDS": "0.2",
    "CAPSTONE_MAX_RETRIES": "0",
    "CAPSTONE_EMR_SPARK_CONF": "spark.sql.shuffle.partitions=2",
}


def emr_job(name_and_bucket: str) -> dg.JobDefinition:
    """The job as the environment has it; Dagster keeps the one it made last, so the bucket tells them apart."""
    return build_defs(Settings.from_environment()).resolve_job_def(name_and_bucket.split(maxsplit=1)[0])


def taken_cluster(emr: FakeEmr) -> str:
    """A cluster that somebody else has created, and that stays."""
    created = standing_cluster(emr)
    eventually(lambda: emr.cluster(created).state, "WAITING".__eq__)
    return created


@dataclass(frozen=True)
class Ended:
    """A run in this process, and what it left."""

    events: list[dg.DagsterEvent]
    reason: str | None
    succeeded: bool

    def count(self, kind: dg.DagsterEventType) -> int:
        return sum(event.event_type == kind for event in self.events)


@dataclass(frozen=True)
class EmrPlatform(Platform):
    """Everything below one bucket, and a fake EMR."""

    bucket: str = ""
    emr: FakeEmr = field(kw_only=True)
    settings_of_emr: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "AWS_ENDPOINT_URL_EMR": self.emr.endpoint,
            "CAPSTONE_DEPLOYMENT": "emr",
            "CAPSTONE_RAW_URI": f"{self.bucket}/raw",
            "CAPSTONE_LAKE_URI": f"{self.bucket}/lake",
            "CAPSTONE_EMR_STAGING_URI": f"{self.bucket}/staging",
            **QUICK,
            **self.settings_of_emr,
        }

    def run_here(self, name: str = "preprocessing", day: date = DAY) -> Ended:
        """Run the job in this process, with an instance in memory."""
        with _environment(self.environment), dg.DagsterInstance.ephemeral() as instance:
            job = dg.build_reconstructable_job(__name__, emr_job.__name__, (f"{name} {self.bucket}",))
            tags = {"dagster/partition": day.isoformat()}
            quick = {"resources": {"retries": {"config": {"first_seconds": 0.1}}}}
            with dg.execute_job(job, instance=instance, run_config=quick, tags=tags, raise_on_error=False) as result:
                return Ended(list(result.all_events), run_reason(instance, result.run_id), result.success)

    @property
    def states(self) -> list[str]:
        """The states of all clusters, when what ends has ended."""
        return [cluster.state for cluster in self.emr.clusters]


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before: dict[str, Any] = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
