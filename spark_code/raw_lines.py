"""The lines of a delivery as records of strings: where CSV and JSON are taken apart for the rules.

Plain lines are events already (``plain_lines``). Every other line becomes a record, whatever its state: the line, its
file, a first ``reason`` if it could not be parsed, and one string column per field. ``raw_to_ingested`` judges the
fields, once for both formats.
"""

from collections.abc import Callable, Collection, Mapping
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_code import plain_lines
from spark_code.line_survey import cut_lines, text
from spark_code.raw_files import Delivery
from spark_code.schemas import RecordType, Reject

# Longer lines are not events.
MAX_LINE_BYTES = 64 * 1024
# How much of a rejected line is kept: more than any event has, and parquet holds a hundred of them in memory.
MAX_KEPT_BYTES = 128 * 1024
_BOM = "\ufeff"
_BLANKS = " \t"

# A JSON string, or a bare number that no colon follows: a number as a name is not JSON.
_SCALAR = (
    r'(?s)"((?:[^"\\]++|\\.)*+)"'
    r"|((?>NaN|-?(?:Infinity|(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+))(?![ \t\r]*+:))"
)
# An escaped backslash, or both halves of a surrogate pair: a reader could take part of either for half a character.
_CHARACTER = r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_SURROGATE = r"\\u[dD][89a-fA-F]"
_STRICT = {"allowSingleQuotes": "false", "allowNonNumericNumbers": "false"}

_HEAD = ("trade_dt", "file_tm", "event_type", "symbol", "event_tm", "event_seq_nb", "exchange")
_TRADE = ("price", "size")
_QUOTE = ("bid_pr", "bid_size", "ask_pr", "ask_size")
FIELDS = (*_HEAD, *_TRADE, "execution_id", *_QUOTE)
_TEXTS = ("symbol", "execution_id")
REQUIRED: Mapping[RecordType, tuple[str, ...]] = {
    RecordType.TRADE: (*_HEAD, *_TRADE),
    RecordType.QUOTE: (*_HEAD, *_QUOTE),
}


def read_records(spark: SparkSession, delivery: Delivery, oversized: Collection[str] = ()) -> DataFrame:
    """All lines of a delivery with columns event, line, source_file, reason, unknown_fields and FIELDS.

    A plain line is an event already, and its other columns are null (see ``plain_lines``). ``oversized`` has the keys
    of files with lines that are too big for Spark's reader, as the survey found them.
    """
    return _PARSERS[delivery.source.format](_lines(_delivered(spark, delivery, oversized)))


def _delivered(spark: SparkSession, delivery: Delivery, oversized: Collection[str]) -> DataFrame:
    """Of each plain line its event; of the others the line as delivered (value) and its file."""
    parts = [
        cut_lines(spark, delivery.storage, stored, MAX_KEPT_BYTES + 1).select(
            plain_lines.no_event(), "value", F.lit(stored.key).alias("source_file")
        )
        for stored in delivery.files
        if stored.key in oversized
    ]
    readable = [stored for stored in delivery.files if stored.key not in oversized]
    if readable:
        lines = text(spark, [delivery.storage.spark_path(stored.key) for stored in readable])
        typed = plain_lines.typed(lines.select("value", "_metadata.file_name"), delivery)
        name = F.url_decode(F.regexp_replace("file_name", r"\+", "%2B"))
        key = F.concat(F.lit(f"{delivery.source.folder(delivery.day)}/"), name)
        parts.append(typed.select("event", "value", key.alias("source_file")))
    return reduce(DataFrame.unionAll, parts)


def _lines(delivered: DataFrame) -> DataFrame:
    """One row per line, without a CR at its end and a BOM at its start, and with the first reason to reject it."""
    raw = F.col("value")
    stripped_bytes = (
        F.octet_length(raw)
        - F.when(raw.endswith("\r"), F.lit(1)).otherwise(F.lit(0))
        - F.when(raw.startswith(_BOM), F.lit(3)).otherwise(F.lit(0))
    )
    head = F.substring(raw.cast("binary"), 1, MAX_KEPT_BYTES).cast("string")
    line = F.make_valid_utf8(F.when(F.octet_length(raw) <= MAX_KEPT_BYTES, raw).otherwise(head))
    line = F.when(line.endswith("\r"), F.left(line, F.length(line) - 1)).otherwise(line)
    line = F.when(line.startswith(_BOM), F.substring(line, 2, 2**31 - 1)).otherwise(line)
    is_encoded = F.is_valid_utf8(raw) & ~raw.contains("\x00")
    return (
        delivered.select(
            "event",
            line.alias("line"),
            "source_file",
            stripped_bytes.alias("line_bytes"),
            is_encoded.alias("is_encoded"),
        )
        .withColumn(
            "reason",
            first_of(
                (Reject.TOO_LONG, F.col("line_bytes") > MAX_LINE_BYTES),
                (Reject.BAD_ENCODING, ~F.col("is_encoded")),
                (Reject.BLANK, F.btrim("line", F.lit(_BLANKS)) == ""),
            ),
        )
        .drop("line_bytes", "is_encoded")
        .withColumn("content", F.when(F.col("reason").isNull(), F.col("line")))
        # Or escapes, because one may be a tab.
        .withColumn("has_tabs", F.col("content").contains("\t") | F.col("content").contains("\\"))
    )


def first_of(*reasons: tuple[Reject, Column]) -> Column:
    """The first reason whose condition holds, or null."""
    return F.coalesce(*(F.when(condition, F.lit(reason.value)) for reason, condition in reasons))


def _field(value: Column) -> Column:
    """Strip blanks around a field; an empty field is missing. Spark trims only spaces much faster than blanks."""
    trimmed = F.when(F.col("has_tabs"), F.btrim(value, F.lit(_BLANKS))).otherwise(F.trim(value))
    return F.nullif(trimmed, F.lit(""))


def _from_csv(lines: DataFrame) -> DataFrame:
    """Fields by position; the meaning of the positions after the head depends on the record type."""
    parts, kind = F.col("parts"), F.col("event_type")
    tail: dict[str, Column] = {"execution_id": F.lit(None).cast("string")}
    is_wrong_width = F.lit(False)
    for rec_type, required in REQUIRED.items():
        is_type = kind == rec_type.value
        is_wrong_width |= is_type & (F.size(parts) != len(required))
        for position in range(len(_HEAD), len(required)):
            tail[required[position]] = F.when(is_type, _field(F.get(parts, position)))
    return (
        lines.withColumn("parts", F.split("content", ",", -1))
        .withColumns({name: _field(F.get(parts, position)) for position, name in enumerate(_HEAD)})
        .withColumns(tail)
        .withColumn("reason", F.coalesce("reason", first_of((Reject.FIELD_COUNT, is_wrong_width))))
        .withColumn("unknown_fields", F.array().cast("array<string>"))
        .select("event", "line", "source_file", "reason", "unknown_fields", *FIELDS)
    )


def _unmarked(name: Column) -> Column:
    return F.substring(name, 2, MAX_LINE_BYTES)


def _from_json(lines: DataFrame) -> DataFrame:
    """Fields by name, every number and text exactly as it is written.

    Spark reads bare numbers as doubles, so they are quoted first. Each scalar also gets a leading blank: a value
    without one is an object, an array or a boolean. Spark stops reading after the first value, so the line is read as
    the first element of an array. The second element is the line's own hash, and is found only if the line was one
    value. A duplicate name is ambiguous, and bad JSON; Spark's own parser of variants finds it in nested objects, too.
    Half of a surrogate pair is not a character, and also bad JSON.
    """
    content, end = F.col("content"), F.col("end")
    wrapped = F.concat(F.lit("["), F.regexp_replace(content, _SCALAR, '" $1$2"'), F.lit(',{"end":"'), end, F.lit('"}]'))
    elements, fields = F.col("elements"), F.col("fields")
    names = F.map_keys(F.get(elements, 0))
    is_one_object = (F.get(elements, 1)["end"] == end) & (F.size(names) == F.size(F.array_distinct(names)))
    is_nested = F.substring(content, 2, MAX_LINE_BYTES).contains("{")
    is_bad = (
        fields.isNull()
        | (is_nested & F.try_parse_json("wrapped").isNull())
        | (content.contains("\\u") & F.regexp_replace(content, _CHARACTER, " ").rlike(_SURROGATE))
        | reduce(or_, (~F.coalesce(fields[f" {name}"].startswith(" "), F.lit(True)) for name in _TEXTS))
    )
    unknown = F.array_except(F.map_keys(fields), F.array(*(F.lit(f" {name}") for name in FIELDS)))
    return (
        lines.withColumn("end", F.hex(F.xxhash64("content")))
        .withColumn("wrapped", wrapped)
        .withColumn("elements", F.from_json("wrapped", "array<map<string,string>>", _STRICT))
        .withColumn("fields", F.when(is_one_object, F.get(elements, 0)))
        .withColumn("reason", F.coalesce("reason", first_of((Reject.BAD_JSON, is_bad))))
        .withColumn("unknown_fields", F.when(F.col("reason").isNull(), F.transform(unknown, _unmarked)))
        .select(
            "event",
            "line",
            "source_file",
            "reason",
            "unknown_fields",
            *(_field(fields[f" {name}"]).alias(name) for name in FIELDS),
        )
    )


_PARSERS: Mapping[str, Callable[[DataFrame], DataFrame]] = {"csv": _from_csv, "json": _from_json}
