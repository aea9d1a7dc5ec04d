"""The resource ``spark`` of the steps."""

from dagster_pyspark import LazyPySparkResource
from pyspark.sql import SparkSession

from capstone_dagster.steps.retries import final_failures
from capstone_dagster.steps.s3_jars import jars
from capstone_dagster.steps.spark_process import is_forgotten, start_session
from spark_code.session import s3_conf


class StepSpark(LazyPySparkResource):
    """The Spark session that the steps share."""

    def require_client(self) -> None:
        """Fail before anything is started if Spark lacks its S3 client; a cluster has one."""


class LocalSpark(StepSpark):
    """Spark in this process; it looks for its S3 client when the first step needs it, and not on load."""

    needs_s3: bool

    def require_client(self) -> None:
        """Fail if jars are missing."""
        if self.needs_s3:
            jars()

    @property
    def spark_session(self) -> SparkSession:
        """The session, started on first use."""
        if self._spark_session is None or is_forgotten(self._spark_session):
            with final_failures():
                self._spark_session = start_session(self.spark_config | (s3_conf(jars()) if self.needs_s3 else {}))
        return self._spark_session
