"""What only the host knows, as metrics of CloudWatch: the daemon's life, the oldest cluster's age, the certificates'.

The alarms are in ``deploy/cloudformation/alarms.yaml``, and silence is one of them. Started by
``capstone-heartbeat.timer``.
"""

import io
import os
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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


def certificate_days(now: datetime, install_uri: str) -> float:
    """For how long the certificates are valid that new clusters get; afterwards, none can be created."""
    place = urlsplit(install_uri)
    key = f"{place.path.strip('/')}/certificates.zip"
    packed = boto3.client("s3").get_object(Bucket=place.netloc, Key=key)["Body"].read()
    chain = zipfile.ZipFile(io.BytesIO(packed)).read("certificateChain.pem")
    asked = ["openssl", "x509", "-noout", "-enddate", "-dateopt", "iso_8601"]
    told = subprocess.run(asked, input=chain, capture_output=True, check=True).stdout.decode()  # noqa: S603 - our own
    return (datetime.fromisoformat(told.partition("=")[2].strip()) - now).total_seconds() / 86400


if __name__ == "__main__":
    report(os.environ["PLATFORM"], "DaemonAlive", float(daemon_lives()))
    report(os.environ["PLATFORM"], "OldestClusterHours", oldest_cluster_hours(datetime.now(UTC)))
    report(os.environ["PLATFORM"], "CertificateDays", certificate_days(datetime.now(UTC), os.environ["INSTALL_URI"]))
