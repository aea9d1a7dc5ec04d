"""The resources of the assets, one dict per deployment.

Only these values differ between deployments; assets and code are the same everywhere.

Locations, commands and engine options come from the settings, and their resources take no config: people who can
start a run, perhaps through the UI's port, must not be able to replace them.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from capstone_dagster.assets.jobs import WAREHOUSE
from capstone_dagster.assets.page import PAGES
from capstone_dagster.assets.table_assets import (
    CORPORATE_ACTIONS,
    NOTHING,
    QUALITY_JUDGEMENT,
    RETRIES,
    STEP_LAUNCHER,
    TRADING_DAY,
)
from capstone_dagster.deliveries.preconditions import GuardedRawFolder
from capstone_dagster.runs.day_guard import trading_day
from capstone_dagster.setting_values import Deployment
from capstone_dagster.settings import Settings
from capstone_dagster.steps.lake_io_manager import DayMetadata, LakeIOManager, ReportOptions
from capstone_dagster.steps.local_spark import LocalSpark, StepSpark
from capstone_dagster.steps.retries import FIRST_SECONDS, Retries
from capstone_dagster.trading_days import trading_days
from spark_code.corporate_actions import Actions, CorporateActions
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.quality import Circumstances
from spark_code.raw_files import RawFolder
from spark_code.schemas import DAILY_SUMMARY, QUALITY, Table
from spark_code.session import local_conf

if TYPE_CHECKING:
    from capstone_dagster.pages.publishing import Pages


def _local(settings: Settings) -> dict[str, Any]:
    """Spark runs inside the run's process; the first step that needs it starts it."""
    conf = local_conf(settings.driver_memory, settings.log_dir)
    return {
        **_storage(settings, lambda: LocalSpark(spark_config=conf, needs_s3=settings.spark_needs_s3)),
        STEP_LAUNCHER: _no_launcher,
    }


def _emr(settings: Settings) -> dict[str, Any]:
    """Spark runs on the run's cluster, and not in this process."""
    from capstone_dagster.emr.launcher import step_launcher  # noqa: PLC0415 - takes 0.3 s, for those who have EMR

    return {**_storage(settings, _sparks_own), STEP_LAUNCHER: step_launcher(settings)}


def _cluster(settings: Settings) -> dict[str, Any]:
    """A step on the cluster, with the session that spark-submit has configured."""
    return {**_storage(settings, _sparks_own), STEP_LAUNCHER: _no_launcher}


def _sparks_own() -> StepSpark:
    return StepSpark(spark_config={})


def _storage(settings: Settings, spark: Callable[[], StepSpark]) -> dict[str, Any]:
    return {
        "spark": _spark(spark),
        "raw_folder": _raw_folder(settings),
        "lake": _lake(settings),
        WAREHOUSE: _warehouse(settings),
        "report_options": ReportOptions.configure_at_launch(),
        RETRIES: Retries.configure_at_launch(max_retries=settings.max_retries, first_seconds=FIRST_SECONDS),
        TRADING_DAY: trading_day(settings.first_trading_day),
        QUALITY_JUDGEMENT: _quality_judgement(settings),
        CORPORATE_ACTIONS: _corporate_actions(settings),
        PAGES: _pages(settings),
        "io_manager": _no_io_manager,
    }


def _spark(make: Callable[[], StepSpark]) -> dg.ResourceDefinition:
    @dg.resource(
        config_schema=NOTHING, description="The Spark session of the steps; the first step that needs it starts it."
    )
    def spark(_: dg.InitResourceContext) -> StepSpark:
        return make()

    return spark


def _raw_folder(settings: Settings) -> dg.ResourceDefinition:
    @dg.resource(
        config_schema=NOTHING,
        description="The folder of the exchanges' files; their preconditions must hold before a run reads them.",
    )
    def raw_folder(_: dg.InitResourceContext) -> RawFolder:
        return GuardedRawFolder(settings.raw_uri, settings.preconditions)

    return raw_folder


def _pages(settings: Settings) -> dg.ResourceDefinition:
    @dg.resource(config_schema=NOTHING, description="Makes the pages of published days, without Spark.")
    def pages(_: dg.InitResourceContext) -> "Pages":
        from capstone_dagster.pages.publishing import Pages  # noqa: PLC0415 - loads DuckDB and vl-convert

        return Pages(settings)

    return pages


def _lake(settings: Settings) -> dg.IOManagerDefinition:
    @dg.io_manager(
        config_schema=NOTHING,
        required_resource_keys={"spark", "report_options", RETRIES},
        description="Reads and publishes one trading day of one table of the lake.",
    )
    def lake(context: dg.InitResourceContext) -> LakeIOManager:
        return LakeIOManager(
            uri=settings.lake_uri,
            glue_database=settings.glue_database,
            keep_versions=settings.keep_versions,
            spark=context.resources.spark,
            report_options=context.resources.report_options,
            retries=context.resources.retries,
            day_metadata=_day_metadata(settings),
        )

    return lake


def _day_metadata(settings: Settings) -> DayMetadata:
    def of_version(lake: Lake, table: Table, manifest: Manifest, warn: Callable[[str], object]) -> Mapping[str, Any]:
        if table not in (QUALITY, DAILY_SUMMARY):
            return {}
        try:
            from capstone_dagster.pages.day_metadata import day_metadata  # noqa: PLC0415 - loads DuckDB and vl-convert
        except ImportError as error:  # the table is published, whatever this machine lacks for pictures of it
            warn(f"the numbers of {table.path} are not shown: {error!r}")
            return {}
        return day_metadata(trading_days(settings.first_trading_day), lake, table, manifest, warn)

    return of_version


def _quality_judgement(settings: Settings) -> dg.ResourceDefinition:
    calendar = trading_days(settings.first_trading_day)

    @dg.resource(
        config_schema=NOTHING, description="The limits of a day's quality, its trading hours, and the days before it."
    )
    def quality_judgement(_: dg.InitResourceContext) -> Callable[[date], Circumstances]:
        return lambda day: Circumstances.of(Lake(settings.lake_uri), day, calendar.hours(day), settings.limits)

    return quality_judgement


def _corporate_actions(settings: Settings) -> dg.ResourceDefinition:
    calendar = trading_days(settings.first_trading_day)

    @dg.resource(config_schema=NOTHING, description="The splits and cash payments that concern a trading day.")
    def corporate_actions(_: dg.InitResourceContext) -> Callable[[date], Actions]:
        return lambda day: CorporateActions(settings.raw_uri).of(day, calendar.previous(day))

    return corporate_actions


def _warehouse(settings: Settings) -> dg.ResourceDefinition:
    @dg.resource(config_schema=NOTHING, description="Loads one trading day into Postgres.")
    def warehouse(_: dg.InitResourceContext) -> Any:
        from capstone_dagster.warehouse.loading import Warehouse  # noqa: PLC0415 - a cluster has no driver for Postgres

        return Warehouse.of(settings)

    return warehouse


@dg.resource(config_schema=NOTHING, description="None: the steps run in the process of their run.")
def _no_launcher(_: dg.InitResourceContext) -> None:
    pass


@dg.io_manager(config_schema=NOTHING, description="Unused: the steps publish into the lake.")
def _no_io_manager(_: dg.InitResourceContext) -> dg.InMemoryIOManager:
    """Replaces Dagster's default, whose folder a run config could set."""
    return dg.InMemoryIOManager()  # type: ignore[no-untyped-call]


_BY_DEPLOYMENT: Mapping[Deployment, Callable[[Settings], dict[str, Any]]] = {
    "local": _local,
    "emr": _emr,
    "cluster": _cluster,
}


def resources_for(settings: Settings) -> dict[str, Any]:
    """The resources of the deployment that the settings name."""
    return _BY_DEPLOYMENT[settings.deployment](settings)
