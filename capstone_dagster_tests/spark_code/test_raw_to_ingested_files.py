"""Delivered files to ``ingested/events``: names, packing, splits and order, and what is published of a day."""

import gzip
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.deliveries import (
    BOM,
    DAY,
    FOLDERS,
    Bare,
    deliver,
    line,
    ordered,
    quote_row,
    reject_row,
    trade_row,
)
from capstone_dagster_tests.builders.line_cases import CASES, EXCHANGES, draft_of
from spark_code import raw_to_ingested
from spark_code.lake import Lake
from spark_code.manifest import Attempt
from spark_code.raw_files import RawFolder
from spark_code.schemas import EVENTS


def packed(first: bytes, second: bytes) -> dict[str, bytes]:
    """The same two lines in every kind of file an exchange may deliver."""
    both = first + b"\n" + second + b"\n"
    windows = both.replace(b"\n", b"\r\n")
    return {
        "plain": both,
        "plain.gz": gzip.compress(both),
        "parts.gz": gzip.compress(first + b"\n") + gzip.compress(second),
        "bom": BOM + both,
        "bom.gz": gzip.compress(BOM + both),
        "windows": windows,
        "windows-bom.gz": gzip.compress(BOM + windows),
        "open-end": both[:-1],
        "open-end.gz": gzip.compress(both[:-1]),
        "open-end-windows": windows[:-1],
        "mixed-ends": first + b"\r\n" + second,
        "joined-files": first + b"\n" + BOM + second,
        "a b+c%20d% [1]{2}*?#ü;.csv": both,
        "a b+c%20d%2B [1]{2}*?#ü;.gz": gzip.compress(both),
    }


@pytest.fixture(autouse=True, params=["in this process", "in tasks"])
def _where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are judged in both places, however few they are."""
    if request.param == "in tasks":
        monkeypatch.setattr(raw_to_ingested, "SMALL_BYTES", -1)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_line_is_the_same_however_its_file_is_packed(spark: SparkSession, tmp_path: Path, exchange: str) -> None:
    wanted = []
    for name, content in packed(line(exchange, "T"), b"no record").items():
        wanted += [
            trade_row(exchange),
            reject_row(
                exchange,
                "unknown_record_type" if exchange == "NYSE" else "bad_json",
                deliver(tmp_path, exchange, name, content),
                "no record",
            ),
        ]
    for no_lines in (b"", BOM):
        for name in EXCHANGES:
            deliver(tmp_path, name, f"empty{len(no_lines)}", no_lines)
            deliver(tmp_path, name, f"empty{len(no_lines)}.gz", gzip.compress(no_lines))
    draft = draft_of(spark, tmp_path)
    assert ordered(draft.rows.collect()) == ordered(wanted)
    assert draft.expected_rows == len(wanted)


def test_names_with_underscore_or_dot_and_subfolders_are_no_data(spark: SparkSession, tmp_path: Path) -> None:
    for exchange in EXCHANGES:
        for name in (
            "_SUCCESS",
            "_temporary",
            ".part.crc",
            ".hidden.gz",
            "older/part",
            "_temporary.d/0/part",
            "x=1/part",
        ):
            deliver(tmp_path, exchange, name, line(exchange, "T", symbol=name))
        deliver(tmp_path, exchange, "part_.", line(exchange, "T"))
    draft = draft_of(spark, tmp_path)
    assert ordered(draft.rows.collect()) == [trade_row("NASDAQ"), trade_row("NYSE")]
    assert draft.expected_rows == 2


def test_other_days_and_other_formats_are_left_alone(spark: SparkSession, tmp_path: Path) -> None:
    for exchange in EXCHANGES:
        deliver(tmp_path, exchange, "part", line(exchange, "T"))
    for folder in ("csv/2020-08-05/NYSE", "csv/2020-08-06/NASDAQ", "json/2020-08-06/NYSE", "json/2020-08-07/NASDAQ"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "part").write_bytes(b"not of this delivery")
    assert ordered(draft_of(spark, tmp_path).rows.collect()) == [trade_row("NASDAQ"), trade_row("NYSE")]


def test_lines_across_the_parts_of_a_file_are_read_once(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_to_ingested, "SMALL_BYTES", 0)
    monkeypatch.setattr(raw_to_ingested, "PART_BYTES", 97)
    wanted = []
    for exchange in EXCHANGES:
        lines = [line(exchange, "T", event_seq_nb=str(number)) for number in range(1, 13)]
        deliver(tmp_path, exchange, "large", BOM + b"\r\n".join([b"", *lines, b"", b""]) + b"\xff")
        wanted += [trade_row(exchange, event_seq_nb=number) for number in range(1, 13)]
        source = f"{FOLDERS[exchange]}/large"
        wanted += [reject_row(exchange, "blank", source, "")] * 2
        wanted.append(reject_row(exchange, "bad_encoding", source, "\ufffd"))
    draft = draft_of(spark, tmp_path)
    assert draft.rows.rdd.getNumPartitions() > 20
    assert ordered(draft.rows.collect()) == ordered(wanted)
    assert draft.expected_rows == len(wanted)


@pytest.mark.faults("F5", sample=True)
def test_the_order_of_lines_and_files_never_changes_the_rows(spark: SparkSession, tmp_path: Path) -> None:
    lines = {exchange: [case.line for case in CASES if case.row[3] == exchange][::7] for exchange in EXCHANGES}
    results = []
    for number, files in enumerate((1, 3)):
        raw = tmp_path / str(number)
        for exchange, some in lines.items():
            arranged = (some, some[::-1])[number]
            for file in range(files):
                deliver(raw, exchange, f"part-{file}", b"\n".join(arranged[file::files]) + b"\n")
        where = EVENTS.columns.index("source_file")
        results.append(ordered(row[:where] + row[where + 1 :] for row in draft_of(spark, raw).rows.collect()))
    assert results[0] == results[1]
    assert len(results[0]) == sum(map(len, lines.values()))


def test_unknown_fields_are_reported_once_per_file(spark: SparkSession, tmp_path: Path) -> None:
    def news(**changes: str | None) -> bytes:
        return line("NASDAQ", "T", **changes) + b"\n"

    deliver(tmp_path, "NYSE", "part", line("NYSE", "T"))
    deliver(tmp_path, "NASDAQ", "as agreed", news(execution_id="e") + line("NASDAQ", "Q", price=Bare("1")))
    two = deliver(
        tmp_path, "NASDAQ", "two+2", news(venue="X") * 3 + news(mood=Bare("null")) + news(mood="?", venue="Y")
    )
    rejects = deliver(tmp_path, "NASDAQ", "rejects.gz", gzip.compress(news(price="?", Price="1") + news(lost="x")[:-3]))
    draft = draft_of(spark, tmp_path)
    assert [row[1] for row in ordered(draft.rows.collect())] == ["B"] * 2 + ["Q"] + ["T"] * 7
    assert draft.facts() == {"schema_drift": {two: ["mood", "venue"], rejects: ["Price"]}}


def test_a_published_day_counts_every_line_and_names_what_it_was_made_of(spark: SparkSession, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    deliver(raw, "NYSE", "part", b"\n".join([line("NYSE", "T"), line("NYSE", "Q"), b"", b"header"]))
    drifted = deliver(raw, "NASDAQ", "part.gz", gzip.compress(line("NASDAQ", "Q", venue="X") + b"\r\n{\r\n \r\n"))
    lake = Lake(str(tmp_path / "lake"))
    manifest = lake.publish(draft_of(spark, raw), DAY, Attempt.begin("run-1"))
    assert ordered(lake.read(spark, EVENTS, DAY).rows.collect()) == ordered(
        [
            trade_row("NYSE"),
            quote_row("NYSE"),
            quote_row("NASDAQ"),
            reject_row("NYSE", "blank", "csv/2020-08-06/NYSE/part", ""),
            reject_row("NYSE", "unknown_record_type", "csv/2020-08-06/NYSE/part", "header"),
            reject_row("NASDAQ", "bad_json", "json/2020-08-06/NASDAQ/part.gz", "{"),
            reject_row("NASDAQ", "blank", "json/2020-08-06/NASDAQ/part.gz", " "),
        ]
    )
    assert manifest.rows == 7
    assert {name: count for name, count in manifest.measures.items() if count} == {
        "trades": 1,
        "quotes": 2,
        "rejected": 4,
        "rejected_blank": 2,
        "rejected_bad_json": 1,
        "rejected_unknown_record_type": 1,
    }
    assert manifest.facts == {"schema_drift": {drifted: ["venue"]}}
    fingerprints = {delivery.source.raw_table: delivery.fingerprint for delivery in RawFolder(str(raw)).deliveries(DAY)}
    assert manifest.inputs == fingerprints
    assert fingerprints.keys() == {"raw/nyse", "raw/nasdaq"}
