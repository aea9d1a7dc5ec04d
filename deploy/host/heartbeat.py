"""What only the host knows, as metrics of CloudWatch: does Dagster's daemon work, how old is the oldest cluster.

The alarms are in ``deploy/cloudformation/alarms.yaml``, and silence is one of them. Started by
``capstone-heartbeat.timer``.
"""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

NAMESPACE = "Capstone"
_ACTIVE = ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING"]
_SECONDS = 120


def report(platform: str, name: str, value: float) -> None:
    """One value of one metric."""
    dimensions = [{"Name": "Platform", "Value": platform}]
    metric: dict[str, Any] = {"MetricName": name, "Value": value, "Dimensions": dimensions}
    boto3.client("cloudwatch").put_metric_data(Namespace=NAMESPACE, MetricData=[metric])


def daemon_lives() -> bool:
    """Whether the daemon has signed in the run storage lately."""
    capstone = str(Path(sys.prefix, "bin", "capstone"))
    check = [capstone, "exec", "--", "dagster-daemon", "liveness-check"]
    try:
        return subprocess.run(check, check=False, timeout=_SECONDS).returncode == 0  # noqa: S603 - our own
    except subprocess.TimeoutExpired:
        return False


def oldest_cluster_hours(now: datetime) -> float:
    """The age of the oldest cluster that the platform has made and that still costs; 0 without one."""
    pages = boto3.client("emr").get_paginator("list_clusters").paginate(ClusterStates=_ACTIVE)
    clusters = [cluster for page in pages for cluster in page["Clusters"] if cluster["Name"].startswith("capstone ")]
    ages = [now - cluster["Status"]["Timeline"]["CreationDateTime"] for cluster in clusters]
    return max((age.total_seconds() / 3600 for age in ages), default=0.0)


if __name__ == "__main__":
    report(os.environ["PLATFORM"], "DaemonAlive", float(daemon_lives()))
    report(os.environ["PLATFORM"], "OldestClusterHours", oldest_cluster_hours(datetime.now(UTC)))
