"""Delivered lines to ``ingested/events``: one row of hard data per rule of the contract.

All single lines are judged together, one file per exchange in one Spark job, and each case looks
up its own row. ``test_fuzz`` compares random mixtures with a model.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.deliveries import EventRow, deliver
from capstone_dagster_tests.builders.line_cases import CASES, EXCHANGES, Case, draft_of
from spark_code.schemas import Reject


@pytest.fixture(scope="module")
def judged(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str], list[EventRow]]:
    """The rows of all cases, by exchange and by the line of a reject or the symbol of an event."""
    raw = tmp_path_factory.mktemp("raw")
    for exchange in EXCHANGES:
        lines = [case.line for case in CASES if case.row[3] == exchange]
        deliver(raw, exchange, "lines", b"\n".join(lines) + b"\n")
    rows: dict[tuple[str, str], list[EventRow]] = defaultdict(list)
    for row in draft_of(spark, raw).rows.collect():
        rows[identity(tuple(row))].append(tuple(row))
    return rows


def identity(row: EventRow) -> tuple[str, str]:
    return row[3], row[-1] if row[1] == "B" else row[2]


@pytest.mark.faults("F6", sample=True)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_line_becomes_the_row_the_contract_says(
    case: Case, judged: Mapping[tuple[str, str], list[EventRow]]
) -> None:
    assert judged.get(identity(case.row)) == [case.row]


@pytest.mark.faults("F6", sample=True)
def test_no_line_is_dropped_and_none_is_counted_twice(judged: Mapping[tuple[str, str], list[EventRow]]) -> None:
    assert sum(map(len, judged.values())) == len(CASES)


def test_the_cases_cover_every_reason_and_no_two_share_a_row() -> None:
    assert {case.row[-3] for case in CASES} == {None, *Reject}
    assert len({identity(case.row) for case in CASES}) == len(CASES)


def test_the_columns_are_those_of_the_contract(spark: SparkSession, tmp_path: Path) -> None:
    for exchange in EXCHANGES:
        deliver(tmp_path, exchange, "empty", b"")
    assert draft_of(spark, tmp_path).rows.schema.simpleString() == (
        "struct<trade_dt:date,rec_type:string,symbol:string,exchange:string,event_tm:timestamp_ntz,event_seq_nb:bigint,"
        "arrival_tm:timestamp_ntz,trade_pr:decimal(18,6),trade_size:bigint,execution_id:string,"
        "bid_pr:decimal(18,6),bid_size:bigint,ask_pr:decimal(18,6),ask_size:bigint,"
        "reject_reason:string,source_file:string,line:string>"
    )
