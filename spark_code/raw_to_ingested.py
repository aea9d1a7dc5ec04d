"""Edge: delivered lines of a day to typed events, split into trades, quotes and bad lines.

Grain: one row per line, accepted or rejected; no line is dropped. All rules are here, once for both formats;
``raw_lines`` splits a line into fields.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from spark_code.drafts import Draft
from spark_code.line_survey import survey
from spark_code.raw_files import Delivery
from spark_code.raw_lines import REQUIRED, first_of, read_records
from spark_code.schemas import EVENTS, RecordType, Reject, conform

# Raised when the same input gives other rows from now on: the UI then shows what was made before as out of date.
CODE_VERSION = "1"

# The contract's grammars, for whole strings. Exponents have at most four digits: no price needs more, and rounding
# 1e-999999999 would take gigabytes. There is no year 0, because Python readers cannot represent it.
_NUMBER = r"\A[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?\z"
_SHORT_INTEGER = r"\A[+-]?[0-9]{1,18}\z"
_ZERO = r"\A[+-]?0+(\.0+)?([eE][+-]?[0-9]{1,4})?\z"
# Enough names to explain a drift; a feed that writes values as names must not fill the manifest.
_MAX_UNKNOWN_FIELDS = 1000
_DATE = r"\A(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}\z"
_TIME = r"\A(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?\z"

# Output column -> (field of the record, how it is cast).
_TIMES = {"event_tm": "event_tm", "arrival_tm": "file_tm"}
_PRICES = {"trade_pr": "price", "bid_pr": "bid_pr", "ask_pr": "ask_pr"}
_COUNTS = {"event_seq_nb": "event_seq_nb", "trade_size": "size", "bid_size": "bid_size", "ask_size": "ask_size"}
_NUMBERS = {
    RecordType.TRADE: ("event_seq_nb", "trade_pr", "trade_size"),
    RecordType.QUOTE: ("event_seq_nb", "bid_pr", "bid_size", "ask_pr", "ask_size"),
}
_ONLY_IN = {
    "trade_pr": RecordType.TRADE,
    "trade_size": RecordType.TRADE,
    "execution_id": RecordType.TRADE,
    "bid_pr": RecordType.QUOTE,
    "bid_size": RecordType.QUOTE,
    "ask_pr": RecordType.QUOTE,
    "ask_size": RecordType.QUOTE,
}


def _matching(text: Column, grammar: str) -> Column:
    return F.when(text.rlike(grammar), text)


def _date(text: Column) -> Column:
    """A valid date, as text: Spark would compile a comparison with a date anew for every day."""
    return F.when(_matching(text, _DATE).try_cast("date").isNotNull(), text)


def _price(text: Column) -> Column:
    # Spark takes a zero with a large exponent for a number that does not fit.
    return F.coalesce(_matching(text, _NUMBER).try_cast("decimal(18,6)"), F.when(text.rlike(_ZERO), F.lit(0)))


def _count(text: Column) -> Column:
    """A whole number in any notation: 100, 100.0 and 1e2 are the same, 100.5 is not one."""
    return F.coalesce(
        _matching(text, _SHORT_INTEGER).try_cast("bigint"),
        F.when(text.rlike(_ZERO), F.lit(0)),
        _spelled_out(_matching(text, _NUMBER)).try_cast("bigint"),
    )


def _spelled_out(number: Column) -> Column:
    """The digits of a whole number without point and exponent; null for other numbers, and for those too large."""
    mantissa = F.substring_index(F.lower(number), "e", 1)
    exponent = F.coalesce(F.regexp_extract(number, r"[eE](.*)", 1).try_cast("int"), F.lit(0))
    decimals = F.length(mantissa) - F.length(F.substring_index(mantissa, ".", 1)) - 1
    digits = F.replace(mantissa, F.lit("."))
    significant = F.rtrim(digits, F.lit("0"))
    zeros = exponent - F.greatest(decimals, F.lit(0)) + F.length(digits) - F.length(significant)
    return F.when(zeros.between(0, 18), F.concat(significant, F.repeat(F.lit("0"), zeros)))


def _typed(records: DataFrame) -> DataFrame:
    """Cast every field; a field that cannot be cast becomes null."""
    casts = {
        "record_dt": _date(F.col("trade_dt")),
        **{to: _matching(F.col(name), _TIME).try_cast("timestamp_ntz") for to, name in _TIMES.items()},
        **{to: _price(F.col(name)) for to, name in _PRICES.items()},
        **{to: _count(F.col(name)) for to, name in _COUNTS.items()},
    }
    kept = ("event", "line", "source_file", "reason", "event_type", "symbol", "execution_id")
    missing = _by_type({kind: _any_null(names) for kind, names in REQUIRED.items()})
    return records.select(
        *kept,
        F.col("exchange").alias("record_exchange"),
        missing.alias("is_missing_field"),
        *(cast.alias(name) for name, cast in casts.items()),
    )


def _by_type(conditions: Mapping[RecordType, Column]) -> Column:
    """The condition for the record's type; false for other types."""
    fitting = [F.when(F.col("event_type") == kind.value, condition) for kind, condition in conditions.items()]
    return F.coalesce(*fitting, F.lit(False))


def _any_of(conditions: Sequence[Column]) -> Column:
    return reduce(lambda left, right: left | right, conditions)


def _any_null(names: Sequence[str]) -> Column:
    return _any_of([F.col(name).isNull() for name in names])


def _out_of_range() -> Column:
    """Trades need a price and a size above zero; nothing may be negative."""
    quoted = [F.col(name) < 0 for name in _NUMBERS[RecordType.QUOTE]]
    traded = [F.col("event_seq_nb") < 0, F.col("trade_pr") <= 0, F.col("trade_size") <= 0]
    return _by_type({RecordType.TRADE: _any_of(traded), RecordType.QUOTE: _any_of(quoted)})


def validate(records: DataFrame, day: date, exchange: str) -> DataFrame:
    """Judge every record by the rules, in order, and make it a row of ``ingested/events``."""
    reason = F.coalesce(
        F.col("reason"),
        first_of(
            (
                Reject.UNKNOWN_RECORD_TYPE,
                F.coalesce(~F.col("event_type").isin(*(kind.value for kind in REQUIRED)), F.lit(True)),
            ),
            (Reject.MISSING_FIELD, F.col("is_missing_field")),
            (Reject.BAD_TIMESTAMP, _any_null(("record_dt", "arrival_tm", "event_tm"))),
            (Reject.BAD_NUMBER, _by_type({kind: _any_null(names) for kind, names in _NUMBERS.items()})),
            (Reject.OUT_OF_RANGE, _out_of_range()),
            (Reject.WRONG_TRADE_DATE, F.col("record_dt") != day.isoformat()),
            (Reject.WRONG_EXCHANGE, F.col("record_exchange") != exchange),
        ),
    )
    is_plain = F.col("event").isNotNull()
    judged = _typed(records).withColumn("reject_reason", F.when(~is_plain, reason))
    is_good = F.col("reject_reason").isNull()

    def accepted(name: str) -> Column:
        wanted = is_good & (F.col("event_type") == _ONLY_IN[name].value) if name in _ONLY_IN else is_good
        return F.when(is_plain, F.col("event")[name]).when(wanted, F.col(name)).alias(name)

    typed_columns = ("symbol", *_TIMES, *_PRICES, *_COUNTS, "execution_id")
    return conform(
        judged.select(
            F.lit(day).alias("trade_dt"),
            F.when(is_plain, F.col("event.rec_type"))
            .when(is_good, F.col("event_type"))
            .otherwise(F.lit(RecordType.BAD.value))
            .alias("rec_type"),
            F.lit(exchange).alias("exchange"),
            *(accepted(name) for name in typed_columns),
            "reject_reason",
            F.when(~is_good, F.col("source_file")).alias("source_file"),
            F.when(~is_good, F.col("line")).alias("line"),
        ),
        EVENTS,
    )


def _drift(records: DataFrame) -> dict[str, list[str]]:
    """File -> the fields that the contract does not know, each once."""
    news = records.select("source_file", F.explode("unknown_fields").alias("field")).distinct()
    files: dict[str, list[str]] = {}
    for row in news.orderBy("source_file", "field").limit(_MAX_UNKNOWN_FIELDS).collect():
        files.setdefault(row["source_file"], []).append(row["field"])
    return files


def build(spark: SparkSession, deliveries: Sequence[Delivery], day: date) -> Draft:
    """Draft ``ingested/events`` from everything the exchanges delivered for the day."""
    surveyed = survey(spark, deliveries)
    events: list[DataFrame] = []
    watched: list[tuple[DataFrame, Observation]] = []
    for delivery in deliveries:
        records, seen = read_records(spark, delivery, surveyed.oversized), Observation()
        watched.append((records, seen))
        # Counted while the rows are processed; reading the names needs a second pass, only if there are any.
        passing = records.observe(seen, F.count_if(F.size("unknown_fields") > 0).alias("lines_with_unknown_fields"))
        events.append(validate(passing, day, delivery.source.exchange))

    def facts() -> dict[str, Any]:
        drifting = [records for records, seen in watched if seen.get["lines_with_unknown_fields"]]
        return {"schema_drift": {file: names for records in drifting for file, names in _drift(records).items()}}

    return Draft(
        EVENTS,
        reduce(DataFrame.unionByName, events),
        inputs={delivery.source.raw_table: delivery.fingerprint for delivery in deliveries},
        expected_rows=surveyed.lines,
        facts=facts,
        day=day,
    )
