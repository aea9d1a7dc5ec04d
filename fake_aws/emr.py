"""`FakeEmr`: an EMR on loopback that really runs its steps, for tests and demos.

It combines the server, the operations, the clusters and the image, each of which has its own module.
"""

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from fake_aws.clusters import Cluster, Delays
from fake_aws.emr_image import EmrImage
from fake_aws.emr_server import Call, EmrServer
from fake_aws.errors import EmrError
from fake_aws.machines import MachineOptions, Machines
from fake_aws.misbehaviour import Misbehaviour
from fake_aws.operations import Operations
from fake_aws.step_logs import StepLogs
from fake_aws.step_runs import StepRunner


class FakeEmr:
    """A running EMR; leaving the block stops it and everything that its steps have started.

    Steps find S3 at the given endpoint. A cluster runs one step at a time, on ``machines``.
    """

    def __init__(
        self,
        *,
        s3_endpoint: str,
        machines: MachineOptions | None = None,
        delays: Delays | None = None,
        page_size: int = 50,
        port: int = 0,
    ) -> None:
        delays = delays or Delays()
        changed = threading.Condition()
        self.clusters: list[Cluster] = []
        """Every cluster that was created, oldest first."""
        self.tell = Misbehaviour(changed, self._lose, self._lose_worker)
        """Tells it what to do wrong."""
        self._changed = changed
        self._stopped = False
        self._logs = StepLogs(s3_endpoint, delays.logs)
        options = machines or MachineOptions()
        runner = StepRunner(EmrImage(s3_endpoint, options.local_master), self._logs, changed)

        def make(request: Mapping[str, Any]) -> Cluster:
            if self._stopped:
                raise EmrError("InternalServerError", "the fake EMR was stopped", 500)
            return Cluster(request, delays, changed, self.tell, Machines(runner, options))

        self._server = EmrServer(port, Operations(self.clusters, changed, make, page_size).call, self.tell)

    @property
    def endpoint(self) -> str:
        """The URL for AWS_ENDPOINT_URL_EMR."""
        return self._server.endpoint

    def calls(self, *operations: str) -> list[Call]:
        """The calls so far, of these operations or of all."""
        return [call for call in list(self._server.calls) if not operations or call.operation in operations]

    def cluster(self, cluster_id: str) -> Cluster:
        """One cluster."""
        return next(cluster for cluster in self.clusters if cluster.id == cluster_id)

    def stop(self) -> None:
        """Stop answering, and end every process of every step."""
        self._server.stop()
        with self._changed:  # a request in progress ends before this, or creates no cluster
            self._stopped = True
        for cluster in self.clusters:
            cluster.stop()
        self._logs.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _lose(self, cluster_id: str | None, message: str) -> None:
        for cluster in self.clusters:
            if cluster_id in {None, cluster.id}:
                cluster.end("INSTANCE_FAILURE", message, with_errors=True)

    def _lose_worker(self, cluster_id: str | None) -> None:
        for cluster in self.clusters:
            if cluster_id in {None, cluster.id}:
                cluster.lose_worker()
