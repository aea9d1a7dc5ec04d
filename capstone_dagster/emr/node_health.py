"""Whether machines of a cluster have been unhealthy for long, as CloudWatch knows it: mostly, their disks are full.

Such a machine gets no more tasks. If none is left, a step waits until it is out of time, so ``step_watch`` asks here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# EMR reports every five minutes. EMR replaces an unhealthy machine in less than the time of three reports.
_REPORT_SECONDS, _REPORTS = 300, 3


@dataclass
class NodeHealth:
    """The machines of one cluster, while somebody waits for a step: also what was reported of them before that."""

    region: str
    cluster_id: str
    clock: Callable[[], float]
    warn: Callable[[str], None]
    _asked: float = field(init=False)

    def __post_init__(self) -> None:
        self._asked = self.clock()

    def complaint(self) -> str | None:
        """What is wrong, if it has been for long; asks CloudWatch only once in five minutes."""
        if self.clock() - self._asked < _REPORT_SECONDS:
            return None
        self._asked = self.clock()
        try:
            reports = self._reports()
        except (BotoCoreError, ClientError) as error:
            self.warn(f"whether machines of cluster {self.cluster_id} are healthy is not known: {error}")
            return None
        if len(reports) < _REPORTS or min(reports[-_REPORTS:]) < 1:
            return None
        return (
            f"{reports[-1]:.0f} of the machines of cluster {self.cluster_id} have been UNHEALTHY for "
            f"{_REPORTS * _REPORT_SECONDS // 60} minutes, probably because their disks are full: give them larger ones "
            "(CAPSTONE_EMR_DISK_GIB), or use more machines or types with disks of their own"
        )

    def _reports(self) -> list[float]:
        """The number of unhealthy machines in the latest reports, oldest first."""
        now = datetime.now(UTC)
        answer = self._client.get_metric_statistics(
            Namespace="AWS/ElasticMapReduce",
            MetricName="MRUnhealthyNodes",
            Dimensions=[{"Name": "JobFlowId", "Value": self.cluster_id}],
            StartTime=now - timedelta(seconds=_REPORT_SECONDS * (_REPORTS + 2)),
            EndTime=now,
            Period=_REPORT_SECONDS,
            Statistics=["Minimum"],
        )
        return [point["Minimum"] for point in sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])]

    @cached_property
    def _client(self) -> Any:
        brief = Config(retries={"total_max_attempts": 2}, connect_timeout=10, read_timeout=10)
        return boto3.Session(region_name=self.region).client("cloudwatch", config=brief)
