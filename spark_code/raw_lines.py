"""The lines of a delivery as all-strings records: the one place that knows CSV from JSON.

Every line comes out, in whatever state: a record has the line, its file, a first ``reason`` if
it could not even be taken apart, and one string column per field. Whether the fields make sense
is judged once for both formats, in ``raw_to_ingested``.
"""

from collections.abc import Callable, Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_code.raw_files import Delivery
from spark_code.schemas import RecordType, Reject

# Longer lines are no events.
MAX_LINE_BYTES = 64 * 1024
# Of a rejected line this much is kept: a whole file may be one line.
MAX_KEPT_BYTES = 1024 * 1024
_BOM = "\ufeff"
_BLANKS = " \t"

_HEAD = ("trade_dt", "file_tm", "event_type", "symbol", "event_tm", "event_seq_nb", "exchange")
_TRADE = ("price", "size")
_QUOTE = ("bid_pr", "bid_size", "ask_pr", "ask_size")
FIELDS = (*_HEAD, *_TRADE, "execution_id", *_QUOTE)
REQUIRED: Mapping[RecordType, tuple[str, ...]] = {
    RecordType.TRADE: (*_HEAD, *_TRADE),
    RecordType.QUOTE: (*_HEAD, *_QUOTE),
}


def read_records(spark: SparkSession, delivery: Delivery) -> DataFrame:
    """All lines of a delivery with columns line, source_file, reason, unknown_fields and FIELDS."""
    return _PARSERS[delivery.source.format](_lines(spark, delivery))


def count_lines(spark: SparkSession, deliveries: Sequence[Delivery]) -> int:
    """Count the lines alone, independent of everything that is done with them."""
    return _text(spark, *deliveries).count()


def _text(spark: SparkSession, *deliveries: Delivery) -> DataFrame:
    paths = [path for delivery in deliveries for path in delivery.spark_paths()]
    # Without lineSep, Spark would also break lines at a lone CR.
    return spark.read.text(paths, lineSep="\n")


def _lines(spark: SparkSession, delivery: Delivery) -> DataFrame:
    """One row per line, a CR at its end and a BOM at its start stripped, with what is wrong so far."""
    raw = F.col("value")
    name = F.url_decode(F.regexp_replace("_metadata.file_name", r"\+", "%2B"))
    stripped_bytes = (
        F.octet_length(raw)
        - F.when(raw.endswith("\r"), F.lit(1)).otherwise(F.lit(0))
        - F.when(raw.startswith(_BOM), F.lit(3)).otherwise(F.lit(0))
    )
    line = F.make_valid_utf8(
        F.when(F.octet_length(raw) <= MAX_KEPT_BYTES, raw).otherwise(F.left(raw, F.lit(MAX_KEPT_BYTES)))
    )
    line = F.when(line.endswith("\r"), F.left(line, F.length(line) - 1)).otherwise(line)
    line = F.when(line.startswith(_BOM), F.substring(line, 2, 2**31 - 1)).otherwise(line)
    is_encoded = F.is_valid_utf8(raw) & ~raw.contains("\x00")
    return (
        _text(spark, delivery)
        .select(
            line.alias("line"),
            F.concat(F.lit(f"{delivery.source.folder(delivery.day)}/"), name).alias("source_file"),
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
    )


def first_of(*reasons: tuple[Reject, Column]) -> Column:
    """The first reason whose condition holds, or null."""
    return F.coalesce(*(F.when(condition, F.lit(reason.value)) for reason, condition in reasons))


def _field(value: Column) -> Column:
    """Blanks around a field are ignored, and an empty one is missing."""
    return F.nullif(F.btrim(value, F.lit(_BLANKS)), F.lit(""))


def _from_csv(lines: DataFrame) -> DataFrame:
    """Fields by position; what the positions behind the head mean depends on the record type."""
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
        .select("line", "source_file", "reason", "unknown_fields", *FIELDS)
    )


def _from_json(lines: DataFrame) -> DataFrame:
    """Fields by name. Numbers keep their digits: only the variant parser reads them as decimals.

    The variant parser refuses the literals NaN and Infinity, which from_json takes: a line that
    only it can read goes through it, so that such a number is a bad number and not bad JSON.
    Both stop reading after the first value, so the line is read as the first element of an
    array whose second holds the line's own hash: it is found only if the line was one value.
    A name that comes twice is ambiguous, and bad JSON.
    """
    end, names = F.col("end"), [F.lit(name) for name in FIELDS]
    wrapped = F.concat(F.lit("["), F.col("content"), F.lit(',{"end":"'), end, F.lit('"}]'))
    document, elements = F.col("document"), F.col("elements")
    exact = F.when(
        F.try_variant_get(document, "$[1].end", "string") == end,
        F.try_variant_get(document, "$[0]", "map<string,string>"),
    )
    maps = F.when(document.isNull(), F.from_json(wrapped, "array<map<string,string>>", {"allowSingleQuotes": "false"}))
    keys = F.map_keys(F.get(elements, 0))
    lenient = F.when(
        (F.get(elements, 1)["end"] == end) & (F.size(keys) == F.size(F.array_distinct(keys))), F.get(elements, 0)
    )
    return (
        lines.withColumn("end", F.hex(F.xxhash64("content")))
        .withColumn("document", F.try_parse_json(wrapped))
        .withColumn("elements", maps)
        .withColumn("fields", F.coalesce(exact, lenient))
        .withColumn("reason", F.coalesce("reason", first_of((Reject.BAD_JSON, F.col("fields").isNull()))))
        .withColumn("unknown_fields", F.array_except(F.map_keys("fields"), F.array(*names)))
        .select(
            "line",
            "source_file",
            "reason",
            "unknown_fields",
            *(_field(F.col("fields")[name]).alias(name) for name in FIELDS),
        )
    )


_PARSERS: Mapping[str, Callable[[DataFrame], DataFrame]] = {"csv": _from_csv, "json": _from_json}
