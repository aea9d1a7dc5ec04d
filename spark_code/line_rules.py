"""The rules for delivered lines, as SQL of DuckDB: a line in whatever state to a row of ``ingested/events``.

Each line is taken apart and judged rule by rule. Plain lines do not come here (``plain_lines``).
"""

from datetime import date

from spark_code.raw_files import Source
from spark_code.schemas import RecordType, Reject

# Longer lines are not events.
MAX_LINE_BYTES = 64 * 1024

_FIELDS = (
    *("trade_dt", "file_tm", "event_type", "symbol", "event_tm", "event_seq_nb", "exchange"),
    *("price", "size", "execution_id", "bid_pr", "bid_size", "ask_pr", "ask_size"),
)

# The grammars of the contract. An exponent has at most four digits: no price needs more, and 1e-999999999 would take
# gigabytes. There is no year 0, because Python readers cannot represent it. A number with an exponent is written out
# before it is cast, so that it is rounded once, half up, from all of its digits; no more than a table can hold.
_NUMBERS_AND_TIMES = r"""
    CREATE MACRO field(value) AS nullif(trim(value, ' ' || chr(9)), '');
    CREATE MACRO is_number(value) AS regexp_full_match(value, '[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?');
    CREATE MACRO with_point_at(sign, digits, point) AS CASE
        WHEN digits = '' THEN '0'
        WHEN point > 19 THEN NULL
        WHEN point < -7 THEN '0.00000001'
        WHEN point <= 0 THEN sign || '0.' || repeat('0', -point) || digits
        WHEN point >= length(digits) THEN sign || digits || repeat('0', point - length(digits))
        ELSE sign || digits[:point] || '.' || digits[point + 1:] END;
    CREATE MACRO written_out(value) AS list_transform(list_transform(
        [regexp_extract(value, '^([+-]?)([0-9]+)(?:\.([0-9]+))?(?:[eE](.*))?', ['sign', 'whole', 'rest', 'exponent'])],
        lambda n: {'sign': n.sign, 'digits': ltrim(n.whole || n.rest, '0'),
            'point': (coalesce(try_cast(n.exponent AS INTEGER), 0)
                + length(ltrim(n.whole || n.rest, '0')) - length(n.rest))::INTEGER}),
        lambda n: with_point_at(n.sign, n.digits, n.point))[1];
    CREATE MACRO as_price(value) AS CASE
        WHEN regexp_full_match(value, '[+-]?[0-9]+(\.[0-9]+)?') THEN try_cast(value AS DECIMAL(18, 6))
        WHEN is_number(value) THEN try_cast(written_out(value) AS DECIMAL(18, 6)) END;
    CREATE MACRO as_whole(value) AS
        if(regexp_full_match(value, '[^.]+(\.0*)?'), try_cast(split_part(value, '.', 1) AS BIGINT), NULL);
    CREATE MACRO as_count(value) AS CASE
        WHEN regexp_full_match(value, '[+-]?[0-9]{1,18}') THEN value::BIGINT
        WHEN is_number(value) THEN as_whole(written_out(value)) END;
    CREATE MACRO as_day(value) AS if(
        regexp_full_match(value, '[0-9]{4}-[0-9]{2}-[0-9]{2}') AND value[:4] <> '0000', try_cast(value AS DATE), NULL);
    CREATE MACRO as_time(value) AS if(
        regexp_full_match(value, '[0-9]{4}-[0-9]{2}-[0-9]{2} ([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]+)?')
        AND value[:4] <> '0000', try_cast(value AS TIMESTAMP), NULL);
"""

# DuckDB's parser accepts a superfluous comma and other spellings of NaN; RFC 8259 and the contract do not. A name that
# comes twice is ambiguous, at any depth, and a symbol is a text or a number.
_JSON = r"""
    CREATE MACRO is_object(line) AS json_valid(line) AND regexp_matches(line, '^\s*\{');
    CREATE MACRO skeleton(line) AS regexp_replace(line, '"(?:[^"\\]|\\.)*"', '""', 'g');
    CREATE MACRO is_strict(skeleton) AS
        NOT regexp_matches(skeleton, ',\s*[}\]]') AND length(skeleton) - length(translate(skeleton, '[{', '')) < 1000
        AND NOT regexp_matches(regexp_replace(skeleton, '\b(NaN|Infinity)\b', '0', 'g'), '(?i)nan|inf');
    CREATE MACRO are_distinct(names) AS len(names) = len(list_distinct(names));
    CREATE MACRO is_strict_json(line) AS CASE
        WHEN NOT is_strict(skeleton(line)) THEN false
        WHEN NOT are_distinct(json_keys(line)) THEN false
        WHEN NOT regexp_matches(line, '.\{') THEN true
        ELSE coalesce(list_bool_and(list_transform(json_keys(line, '$..*'), lambda names: are_distinct(names))), true)
    END;
    CREATE MACRO is_scalar(value, line, path) AS CASE
        WHEN value IS NULL OR NOT regexp_matches(value, '^(?:[\[{tf]|-?Inf|NaN)') THEN true
        ELSE json_type(line, path) = 'VARCHAR' END;
"""

GRAMMARS = _NUMBERS_AND_TIMES + _JSON

# With a decimal in the structure, all numbers keep their text.
_STRUCTURE = ", ".join([*(f'"{name}": "VARCHAR"' for name in _FIELDS), '"exact": "DECIMAL(1,0)"'])
_KNOWN = ", ".join(f"'{name}'" for name in _FIELDS)

_RECORDS = {
    "csv": """
        parts AS (
            SELECT source_file, line, reason, string_split(line, ',') AS part, field(part[3]) AS kind FROM delivered
        ), records AS (
            SELECT
                source_file,
                line,
                coalesce(reason, CASE
                    WHEN kind = 'T' AND len(part) <> 9 OR kind = 'Q' AND len(part) <> 11 THEN 'field_count' END
                ) AS reason,
                field(part[1]) AS trade_dt,
                field(part[2]) AS file_tm,
                kind AS event_type,
                field(part[4]) AS symbol,
                field(part[5]) AS event_tm,
                field(part[6]) AS event_seq_nb,
                field(part[7]) AS exchange,
                if(kind = 'T', field(part[8]), NULL) AS price,
                if(kind = 'T', field(part[9]), NULL) AS size,
                NULL::VARCHAR AS execution_id,
                if(kind = 'Q', field(part[8]), NULL) AS bid_pr,
                if(kind = 'Q', field(part[9]), NULL) AS bid_size,
                if(kind = 'Q', field(part[10]), NULL) AS ask_pr,
                if(kind = 'Q', field(part[11]), NULL) AS ask_size,
                NULL::VARCHAR[] AS unknown_fields
            FROM parts
        )""",
    "json": f"""
        parsed AS (
            SELECT
                source_file,
                line,
                reason,
                if(reason IS NULL AND is_object(line), from_json(line, '{{{_STRUCTURE}}}'), NULL) AS f
            FROM delivered
        ), judged_as_json AS (
            SELECT
                source_file,
                line,
                f,
                CASE
                    WHEN reason IS NOT NULL THEN reason
                    WHEN f IS NULL OR NOT is_strict_json(line) THEN 'bad_json'
                    WHEN NOT is_scalar(f.symbol, line, '/symbol') THEN 'bad_json'
                    WHEN NOT is_scalar(f.execution_id, line, '/execution_id') THEN 'bad_json'
                END AS reason
            FROM parsed
        ), records AS (
            SELECT
                source_file,
                line,
                reason,
                {", ".join(f"field(f.{name}) AS {name}" for name in _FIELDS)},
                CASE WHEN reason IS NULL THEN
                    list_filter(json_keys(line), lambda name: name NOT IN ({_KNOWN})) END::VARCHAR[] AS unknown_fields
            FROM judged_as_json
        )""",  # noqa: S608 - all texts in it are our own
}


def rules_query(source: Source, day: date) -> str:
    """A row per line of the table ``lines``, from the first fault of the line to the last rule of its fields."""
    return f"""
        WITH delivered AS (
            SELECT
                source_file,
                if(suffix(text, chr(13)), left(text, length(text) - 1), text) AS without_cr,
                if(starts_with(without_cr, chr(65279)), without_cr[2:], without_cr) AS line,
                CASE
                    WHEN bytes - if(suffix(text, chr(13)), 1, 0) - if(starts_with(text, chr(65279)), 3, 0)
                        > {MAX_LINE_BYTES} THEN '{Reject.TOO_LONG}'
                    WHEN NOT is_encoded OR contains(line, chr(0)) THEN '{Reject.BAD_ENCODING}'
                    WHEN trim(line, ' ' || chr(9)) = '' THEN '{Reject.BLANK}'
                END AS reason
            FROM lines
        ), {_RECORDS[source.format]}, typed AS (
            SELECT
                source_file,
                line,
                reason,
                unknown_fields,
                event_type,
                event_type = 'T' AS is_trade,
                symbol,
                exchange,
                execution_id,
                symbol IS NULL OR exchange IS NULL OR trade_dt IS NULL OR file_tm IS NULL OR event_tm IS NULL
                    OR event_seq_nb IS NULL OR if(event_type = 'T',
                        price IS NULL OR size IS NULL,
                        bid_pr IS NULL OR bid_size IS NULL OR ask_pr IS NULL OR ask_size IS NULL) AS lacks_field,
                as_day(trade_dt) AS trade_dt,
                as_time(file_tm) AS arrival_tm,
                as_time(records.event_tm) AS event_tm,
                as_count(records.event_seq_nb) AS event_seq_nb,
                as_price(price) AS trade_pr,
                as_count(size) AS trade_size,
                as_price(records.bid_pr) AS bid_pr,
                as_count(records.bid_size) AS bid_size,
                as_price(records.ask_pr) AS ask_pr,
                as_count(records.ask_size) AS ask_size
            FROM records
        ), judged AS (
            SELECT * EXCLUDE reason, coalesce(reason, CASE
                WHEN event_type IS NULL OR event_type NOT IN ('T', 'Q') THEN '{Reject.UNKNOWN_RECORD_TYPE}'
                WHEN lacks_field THEN '{Reject.MISSING_FIELD}'
                WHEN trade_dt IS NULL OR arrival_tm IS NULL OR event_tm IS NULL THEN '{Reject.BAD_TIMESTAMP}'
                WHEN event_seq_nb IS NULL OR if(is_trade,
                    trade_pr IS NULL OR trade_size IS NULL,
                    bid_pr IS NULL OR bid_size IS NULL OR ask_pr IS NULL OR ask_size IS NULL
                ) THEN '{Reject.BAD_NUMBER}'
                WHEN event_seq_nb < 0 OR if(is_trade,
                    trade_pr <= 0 OR trade_size <= 0,
                    bid_pr < 0 OR bid_size < 0 OR ask_pr < 0 OR ask_size < 0
                ) THEN '{Reject.OUT_OF_RANGE}'
                WHEN trade_dt <> DATE '{day}' THEN '{Reject.WRONG_TRADE_DATE}'
                WHEN exchange <> '{source.exchange}' THEN '{Reject.WRONG_EXCHANGE}' END) AS reject_reason
            FROM typed
        )
        SELECT
            DATE '{day}' AS trade_dt,
            if(reject_reason IS NULL, event_type, '{RecordType.BAD}') AS rec_type,
            if(rec_type <> 'B', symbol, NULL) AS symbol,
            '{source.exchange}' AS exchange,
            if(rec_type <> 'B', event_tm, NULL) AS event_tm,
            if(rec_type <> 'B', event_seq_nb, NULL) AS event_seq_nb,
            if(rec_type <> 'B', arrival_tm, NULL) AS arrival_tm,
            if(rec_type = 'T', trade_pr, NULL) AS trade_pr,
            if(rec_type = 'T', trade_size, NULL) AS trade_size,
            if(rec_type = 'T', execution_id, NULL) AS execution_id,
            if(rec_type = 'Q', bid_pr, NULL) AS bid_pr,
            if(rec_type = 'Q', bid_size, NULL) AS bid_size,
            if(rec_type = 'Q', ask_pr, NULL) AS ask_pr,
            if(rec_type = 'Q', ask_size, NULL) AS ask_size,
            reject_reason,
            source_file,
            if(rec_type = 'B', line, NULL) AS line,
            unknown_fields
        FROM judged
    """  # noqa: S608 - all texts in it are our own
