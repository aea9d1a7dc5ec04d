"""The code location: wires everything together, and does nothing else."""

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository

from capstone_dagster.assets.checks import all_checks
from capstone_dagster.assets.jobs import all_jobs, backfills
from capstone_dagster.assets.labels import labelled
from capstone_dagster.assets.stages import all_stages
from capstone_dagster.assets.warehouse import warehouse_assets
from capstone_dagster.automation.landed_days import landed_check
from capstone_dagster.automation.schedules import all_schedules
from capstone_dagster.automation.sensors import all_sensors
from capstone_dagster.resources import resources_for
from capstone_dagster.runs.executor import signing_executor
from capstone_dagster.runs.terminal_log import console_logger, progress_logger
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import trading_days


def build_defs(settings: Settings) -> dg.Definitions:
    """The definitions for one set of settings."""
    partitions, policy = trading_days(settings.first_trading_day).partitions, backfills(settings.backfill_days)
    jobs = all_jobs(settings)
    assets = [*all_stages(partitions, policy), *warehouse_assets(settings, partitions, policy)]
    return dg.Definitions(
        assets=labelled(assets, settings),
        asset_checks=[all_checks(settings, partitions), landed_check(settings)],
        jobs=jobs,
        schedules=all_schedules(settings),
        sensors=all_sensors(settings, jobs),
        resources=resources_for(settings),
        executor=signing_executor(settings),
        loggers={"console": console_logger, "progress": progress_logger},
    )


defs = build_defs(Settings.from_environment())


def code_location() -> ReconstructableRepository:
    """These definitions in the form that Dagster needs to execute their jobs, here and in other processes."""
    return ReconstructableRepository.for_module(__name__, "defs")
