"""Days published by hand, as ``publish`` does once their rows are written, and where a catalog must find them."""

from dataclasses import replace
from datetime import date

from capstone_dagster_tests.builders.closes import DAY, manifest_of, version_of
from spark_code.glue import GlueCatalog
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.schemas import EVENTS, Table

Types = tuple[str, ...]
ALL: Types = ("T", "Q", "B")


def point_to(lake: Lake, table: Table, token: int, types: Types = (), day: date = DAY) -> Manifest:
    """Publish a version without telling a catalog."""
    folder = f"{table.path}/data/{version_of(token, day)}/trade_dt={day}"
    folders = [f"{folder}/rec_type={letter}" for letter in types] if table.split else [folder]
    paths = [f"{each}/part-{i}.parquet" for each in folders for i in (0, 1)]
    return lake._point_to(table, day, replace(manifest_of(token, day), paths=paths))


def publish(lake: Lake, catalog: GlueCatalog, table: Table, token: int, types: Types = (), day: date = DAY) -> Manifest:
    """Publish a version and tell the catalog."""
    manifest = point_to(lake, table, token, types, day)
    catalog.register(lake, table, day)
    return manifest


def folder_of(lake: Lake, table: Table, token: int, day: date = DAY) -> str:
    """Where a version's rows of a day lie."""
    return f"{lake.storage.root}/{table.path}/data/{version_of(token, day)}/trade_dt={day}/"


def events_of(lake: Lake, token: int, types: Types, day: date = DAY) -> dict[tuple[str, ...], str]:
    """The partitions of the events of a day, and where they lie."""
    return {(f"{day}", letter): f"{folder_of(lake, EVENTS, token, day)}rec_type={letter}/" for letter in types}
