"""The Glue catalog: tables as Athena needs them, and partitions that name what the lake's pointer names.

Versions are put there by hand, as ``publish`` does once their rows are written; no Spark.
"""

from dataclasses import replace
from typing import Any

import pytest

from capstone_dagster_tests.builders.catalogs import ALL, Types, events_of, folder_of, point_to, publish
from capstone_dagster_tests.builders.closes import DAY, NEXT_DAY, manifest_of
from capstone_dagster_tests.servers.glue_server import GlueServer
from spark_code.glue import GlueCatalog
from spark_code.lake import Lake, NotPublishedError
from spark_code.schemas import CLOSES, EVENTS, TABLES

# --- tables ---


def test_a_table_is_what_athena_needs(glue: GlueServer, catalog: GlueCatalog, lake: Lake) -> None:
    publish(lake, catalog, CLOSES, 1)

    found = glue.table("eod_closes")

    assert {name: found[name] for name in ("TableType", "Parameters", "PartitionKeys", "StorageDescriptor")} == {
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
        "PartitionKeys": [
            {"Name": "trade_dt", "Type": "date", "Comment": "Trading day; the directory the row lies in"},
        ],
        "StorageDescriptor": {
            "Location": f"{lake.storage.root}/eod/closes/data/",
            "Columns": [
                {"Name": "symbol", "Type": "string", "Comment": "Ticker as the exchange wrote it"},
                {"Name": "exchange", "Type": "string", "Comment": "NYSE or NASDAQ"},
                {"Name": "close_pr", "Type": "decimal(18,6)", "Comment": "Price of the last trade of the day"},
            ],
            "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
            "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
        },
    }


TRADE = "trade_pr decimal(18,6), trade_size bigint, execution_id string"
QUOTE = "bid_pr decimal(18,6), bid_size bigint, ask_pr decimal(18,6), ask_size bigint"
EVENT = "symbol string, exchange string, event_tm timestamp, event_seq_nb bigint"
REPORT = (
    "last_trade_pr decimal(18,6), last_mov_avg_pr decimal(18,6), close_pr decimal(18,6), bid_pr_mv decimal(18,6), "
    "ask_pr_mv decimal(18,6), adjusted_close_pr decimal(18,6)"
)
SUMMARY = (
    "symbol string, exchange string, open_pr decimal(18,6), high_pr decimal(18,6), low_pr decimal(18,6), "
    "close_pr decimal(18,6), volume bigint, trade_count bigint, vwap_pr decimal(18,6), quote_count bigint, "
    "avg_spread decimal(18,6), prev_close_pr decimal(18,6), change_pr decimal(18,6), change_pct decimal(18,6), "
    "adjusted_prev_close_pr decimal(18,6)"
)
BARS = (
    "symbol string, exchange string, minutes bigint, bar_tm timestamp, open_pr decimal(18,6), high_pr decimal(18,6), "
    "low_pr decimal(18,6), close_pr decimal(18,6), volume bigint, vwap_pr decimal(18,6), trade_count bigint, "
    "last_bid_pr decimal(18,6), last_ask_pr decimal(18,6), avg_spread decimal(18,6), quote_count bigint"
)
COLUMNS = {
    "ingested_events": (
        f"{EVENT}, arrival_tm timestamp, {TRADE}, {QUOTE}, reject_reason string, source_file string, line string",
        "trade_dt date, rec_type string",
    ),
    "eod_trades": (f"{EVENT}, arrival_tm timestamp, {TRADE}", "trade_dt date"),
    "eod_quotes": (f"{EVENT}, arrival_tm timestamp, {QUOTE}", "trade_dt date"),
    "eod_closes": ("symbol string, exchange string, close_pr decimal(18,6)", "trade_dt date"),
    "quality_measures": (
        (
            "subject string, exchange string, measure string, value decimal(38,6), "
            "expected_low decimal(38,6), expected_high decimal(38,6), severity string, verdict string, sentence string"
        ),
        "trade_dt date",
    ),
    "report_quote_analytics": (
        f"{EVENT}, {QUOTE}, {REPORT}",
        "trade_dt date",
    ),
    "report_daily_summary": (
        SUMMARY,
        "trade_dt date",
    ),
    "report_bars": (BARS, "trade_dt date"),
}


def test_every_table_has_its_columns_in_types_of_hive(glue: GlueServer, catalog: GlueCatalog, lake: Lake) -> None:
    for table in TABLES.values():
        publish(lake, catalog, table, 1, ALL)

    def declared(columns: list[dict[str, str]]) -> str:
        return ", ".join(f"{column['Name']} {column['Type']}" for column in columns)

    found = {name: glue.table(name) for name in COLUMNS}
    assert {
        name: (declared(table["StorageDescriptor"]["Columns"]), declared(table["PartitionKeys"]))
        for name, table in found.items()
    } == COLUMNS


def test_a_partition_is_read_as_its_table_is(glue: GlueServer, catalog: GlueCatalog, lake: Lake) -> None:
    publish(lake, catalog, CLOSES, 1)

    (partition,) = glue.client.get_partitions(DatabaseName=glue.database, TableName="eod_closes")["Partitions"]

    of_table = glue.table("eod_closes")["StorageDescriptor"]
    assert partition["StorageDescriptor"] == of_table | {"Location": folder_of(lake, CLOSES, 1)}


def older_release(glue: GlueServer) -> dict[str, Any]:
    """The table as it may be found: a column is missing, one is of a newer release, and people have set something."""
    found = glue.table("eod_closes")
    symbol, exchange, _ = found["StorageDescriptor"]["Columns"]
    newer = {"Name": "currency", "Type": "string", "Comment": "of a newer release"}
    table = {name: found[name] for name in ("Name", "TableType", "PartitionKeys", "StorageDescriptor")}
    table["StorageDescriptor"] |= {"Columns": [symbol, exchange | {"Comment": "once"}, newer]}
    return table | {"Description": "closes of the desk", "Parameters": found["Parameters"] | {"owner": "desk"}}


def test_a_table_grows_with_the_schema_and_keeps_what_others_have_set(
    glue: GlueServer,
    catalog: GlueCatalog,
    lake: Lake,
) -> None:
    publish(lake, catalog, CLOSES, 1)
    glue.client.update_table(DatabaseName=glue.database, TableInput=older_release(glue))

    publish(lake, catalog, CLOSES, 2)

    found = glue.table("eod_closes")
    assert found["StorageDescriptor"]["Columns"] == [
        {"Name": "symbol", "Type": "string", "Comment": "Ticker as the exchange wrote it"},
        {"Name": "exchange", "Type": "string", "Comment": "NYSE or NASDAQ"},
        {"Name": "currency", "Type": "string", "Comment": "of a newer release"},
        {"Name": "close_pr", "Type": "decimal(18,6)", "Comment": "Price of the last trade of the day"},
    ]
    assert (found["Description"], found["Parameters"]["owner"]) == ("closes of the desk", "desk")


def test_a_table_that_is_right_is_left_alone(glue: GlueServer, catalog: GlueCatalog, lake: Lake) -> None:
    publish(lake, catalog, CLOSES, 1)
    publish(lake, catalog, CLOSES, 2)

    assert "UpdateTable" not in glue.calls


def test_a_table_that_another_process_makes_meanwhile_is_taken(
    glue: GlueServer,
    catalog: GlueCatalog,
    lake: Lake,
) -> None:
    point_to(lake, CLOSES, 1)
    glue.before("CreateTable", lambda: catalog.register(lake, CLOSES, DAY))

    catalog.register(lake, CLOSES, DAY)

    assert glue.calls.count("CreateTable") == 2
    assert glue.locations("eod_closes") == {("2020-08-05",): folder_of(lake, CLOSES, 1)}


# --- partitions ---


def test_every_folder_of_the_published_version_is_a_partition(
    glue: GlueServer,
    catalog: GlueCatalog,
    lake: Lake,
) -> None:
    manifest = publish(lake, catalog, EVENTS, 1, ALL)

    locations = glue.locations("ingested_events")
    assert locations == events_of(lake, 1, ALL)
    assert set(locations.values()) == {lake.storage.uri(path).rpartition("part-")[0] for path in manifest.paths}


def test_a_new_version_moves_the_partitions_of_its_day_alone(
    glue: GlueServer,
    catalog: GlueCatalog,
    lake: Lake,
) -> None:
    publish(lake, catalog, CLOSES, 1, day=NEXT_DAY)
    publish(lake, catalog, CLOSES, 1)

    publish(lake, catalog, CLOSES, 2)

    assert glue.locations("eod_closes") == {
        ("2020-08-05",): folder_of(lake, CLOSES, 2),
        ("2020-08-06",): folder_of(lake, CLOSES, 1, day=NEXT_DAY),
    }


@pytest.mark.parametrize("types", [("T", "Q"), ("B",), ()])
def test_record_types_that_the_new_version_has_not_are_gone(
    glue: GlueServer,
    catalog: GlueCatalog,
    lake: Lake,
    types: Types,
) -> None:
    publish(lake, catalog, EVENTS, 1, ALL, day=NEXT_DAY)
    publish(lake, catalog, EVENTS, 1, ALL)

    publish(lake, catalog, EVENTS, 2, types)

    assert glue.locations("ingested_events") == events_of(lake, 2, types) | events_of(lake, 1, ALL, NEXT_DAY)


def test_an_empty_day_of_a_table_without_record_types_has_its_partition(
    glue: GlueServer,
    catalog: GlueCatalog,
    lake: Lake,
) -> None:
    lake._point_to(CLOSES, DAY, replace(manifest_of(1), paths=[]))

    catalog.register(lake, CLOSES, DAY)

    assert glue.locations("eod_closes") == {("2020-08-05",): folder_of(lake, CLOSES, 1)}


def test_a_day_that_is_not_published_is_not_registered(glue: GlueServer, catalog: GlueCatalog, lake: Lake) -> None:
    with pytest.raises(NotPublishedError):
        catalog.register(lake, CLOSES, DAY)

    assert glue.calls == []
