"""What the assets run on, one dict per deployment.

The seam between deployments: the same assets and code everywhere, only these values differ.
"""

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
from dagster_pyspark import LazyPySparkResource

from capstone_dagster.io_managers import LakeIOManager, ReportOptions
from capstone_dagster.settings import Deployment, Settings
from spark_code.raw_files import RawFolder
from spark_code.session import local_conf


class RawFolderResource(dg.ConfigurableResource[RawFolder]):
    """Where the exchanges drop their files."""

    uri: str

    def create_resource(self, context: dg.InitResourceContext) -> RawFolder:
        """Open the folder; nothing is listed yet."""
        del context
        return RawFolder(self.uri)


def _local(settings: Settings) -> dict[str, Any]:
    """Spark inside the run's process, started by the first step that needs it."""
    spark = LazyPySparkResource(spark_config=local_conf(settings.driver_memory, settings.log_dir))
    report_options = ReportOptions.configure_at_launch()
    return {
        "spark": spark,
        "raw_folder": RawFolderResource(uri=settings.raw_uri),
        "lake": LakeIOManager(uri=settings.lake_uri, spark=spark, report_options=report_options),
        "report_options": report_options,
    }


_BY_DEPLOYMENT: Mapping[Deployment, Callable[[Settings], dict[str, Any]]] = {"local": _local}


def resources_for(settings: Settings) -> dict[str, Any]:
    """The resources of the deployment that the settings name."""
    return _BY_DEPLOYMENT[settings.deployment](settings)
