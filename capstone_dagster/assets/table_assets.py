"""How a table of the lake appears as an asset: one place for key, kinds and IO manager."""

from typing import Any

import dagster as dg

from spark_code.manifest import Manifest
from spark_code.schemas import Table

# What every step that makes tables needs: where it runs (a launcher, or none where it runs in this process), how often
# it is tried again, and its trading day.
STEP_LAUNCHER, RETRIES, TRADING_DAY = "step_launcher", "retries", "trading_day"
# What a day's quality is judged by.
QUALITY_JUDGEMENT = "quality_judgement"
# What adjusts the closes that a day is compared with.
CORPORATE_ACTIONS = "corporate_actions"

# Monday looks at Friday: offsets count partitions, and only trading days are partitions.
PREVIOUS_TRADING_DAY = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)

# The config schema of what a run may not configure; to Dagster, none at all means that it takes anything.
NOTHING: dict[str, Any] = {}


def asset_key(table: Table) -> dg.AssetKey:
    """Layer and name, as in the path of the table."""
    return dg.AssetKey(table.path.split("/"))


def data_version(manifest: Manifest) -> dg.DataVersion:
    """The same for the same rows, so that a re-run with the same result makes nothing out of date.

    A version without a digest, from an older release, has a data version of its own.
    """
    return dg.DataVersion(manifest.digest or manifest.version)


def table_out(table: Table, description: str, code_version: str) -> dg.AssetOut:
    """One table of a step that makes several, with the version of the edge that computes it."""
    return dg.AssetOut(
        key=asset_key(table),
        io_manager_key="lake",
        kinds={"pyspark", "parquet"},
        description=description,
        code_version=code_version,
    )
