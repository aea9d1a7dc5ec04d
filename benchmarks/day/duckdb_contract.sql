-- The whole contract in DuckDB's SQL: every rule and every reason to reject a line, exact decimals, the same tables.
-- What begins with a dollar is filled in by Python, which also counts the lines of the files, and finds those that
-- DuckDB cannot read: what is no UTF-8 or too long is in the table odd_lines. Where some lines of a file end with CR LF
-- and others do not, or contain a lone CR, DuckDB refuses the file.

-- Grammars; a number in exponents is written out before it is cast. Trimming is slow, and few fields need it.
CREATE OR REPLACE MACRO field(value) AS CASE
    WHEN value = '' OR starts_with(value, ' ') OR suffix(value, ' ') OR contains(value, chr(9))
        THEN nullif(trim(value, ' ' || chr(9)), '')
    ELSE value END;
CREATE OR REPLACE MACRO is_number(value) AS regexp_full_match(value, '[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?');
CREATE OR REPLACE MACRO moved_point(sign, digits, point) AS sign || CASE
    WHEN point <= 0 THEN '0.' || repeat('0', -point) || digits
    WHEN point >= length(digits) THEN digits || repeat('0', point - length(digits))
    ELSE digits[:point] || '.' || digits[point + 1:] END;
CREATE OR REPLACE MACRO parts_written_out(part) AS
    moved_point(part[1], part[2] || part[3], (length(part[2]) + coalesce(try_cast(part[4] AS INTEGER), 0))::INTEGER);
CREATE OR REPLACE MACRO written_out(value) AS parts_written_out([
    regexp_extract(value, '^[+-]?'), regexp_extract(value, '^[+-]?([0-9]+)', 1), regexp_extract(value, '\.([0-9]+)', 1),
    regexp_extract(value, '[eE](.*)', 1)]);
CREATE OR REPLACE MACRO price(value) AS CASE
    WHEN regexp_full_match(value, '[+-]?[0-9]+(\.[0-9]+)?') THEN try_cast(value AS DECIMAL(18,6))
    WHEN is_number(value) THEN try_cast(written_out(value) AS DECIMAL(18,6)) END;
CREATE OR REPLACE MACRO whole(value) AS
    if(regexp_full_match(value, '[^.]+(\.0*)?'), try_cast(split_part(value, '.', 1) AS BIGINT), NULL);
CREATE OR REPLACE MACRO count_of(value) AS CASE
    WHEN regexp_full_match(value, '[+-]?[0-9]{1,18}') THEN value::BIGINT
    WHEN is_number(value) THEN whole(written_out(value)) END;
CREATE OR REPLACE MACRO day_of(value) AS
    if(regexp_full_match(value, '[0-9]{4}-[0-9]{2}-[0-9]{2}') AND value[:4] <> '0000', try_cast(value AS DATE), NULL);
CREATE OR REPLACE MACRO time_of(value) AS if(
    regexp_full_match(value, '[0-9]{4}-[0-9]{2}-[0-9]{2} ([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]+)?')
    AND value[:4] <> '0000', try_cast(value AS TIMESTAMP), NULL);

-- JSON: DuckDB's parser accepts a comma too many and other spellings of NaN; RFC 8259 and the contract do not.
-- A line is doubtful if it may contain either, if it is nested, or if it has names that are unknown or come twice.
CREATE OR REPLACE MACRO is_object(line) AS json_valid(line) AND regexp_matches(line, '^\s*\{');
CREATE OR REPLACE MACRO is_doubtful(line, known) AS
    regexp_matches(line, '.\{|\[|,\s*[}\]]|(?i:nan|inf)') OR len(json_keys(line)) <> known;
CREATE OR REPLACE MACRO skeleton(line) AS regexp_replace(line, '"(?:[^"\\]|\\.)*"', '""', 'g');
CREATE OR REPLACE MACRO is_strict(skeleton) AS
    NOT regexp_matches(skeleton, ',\s*[}\]]') AND length(skeleton) - length(translate(skeleton, '[{', '')) < 1000
    AND NOT regexp_matches(regexp_replace(skeleton, '\b(NaN|Infinity)\b', '0', 'g'), '(?i)nan|inf');
CREATE OR REPLACE MACRO are_distinct(names) AS len(names) = len(list_distinct(names));
CREATE OR REPLACE MACRO have_distinct(objects) AS
    coalesce(list_bool_and(list_transform(objects, lambda names: are_distinct(names))), true);
CREATE OR REPLACE MACRO is_strict_json(line) AS CASE
    WHEN NOT is_strict(skeleton(line)) THEN false
    ELSE are_distinct(json_keys(line)) AND have_distinct(json_keys(line, '$$..*')) END;
-- A symbol is a text or a number.
CREATE OR REPLACE MACRO is_scalar(value, line, path) AS CASE
    WHEN value IS NULL OR NOT regexp_matches(value, '^(?:[\[{tf]|-?Inf|NaN)') THEN true
    ELSE json_type(line, path) = 'VARCHAR' END;

-- All lines as records of texts, whatever their state.
CREATE OR REPLACE MACRO without_bom(line) AS if(starts_with(line, chr(65279)), line[2:], line);
CREATE OR REPLACE MACRO lines(folder) AS TABLE
WITH delivered AS (
    SELECT filename[length('$raw/') + 1:] AS source_file, without_bom(coalesce(line, '')) AS line, NULL AS reason
    FROM read_csv('$raw/' || folder || '[!_.]*', auto_detect = false, header = false, delim = chr(1114111), quote = '',
                  escape = '', ignore_errors = true, filename = true, columns = {'line': 'VARCHAR'})
    WHERE line IS NULL OR strlen(line) <= $max_line
    UNION ALL
    FROM odd_lines WHERE starts_with(source_file, folder))
SELECT source_file, line, coalesce(reason, CASE
    WHEN contains(line, chr(0)) THEN 'bad_encoding' WHEN regexp_full_match(line, '[ \t]*') THEN 'blank' END) AS reason
FROM delivered;
CREATE OR REPLACE VIEW records AS
WITH csv AS (
    SELECT *, string_split(line, ',') AS part, field(part[3]) AS kind, len(part) AS width
    FROM lines('csv/$day/NYSE/')),
parsed AS (
    SELECT *, if(reason IS NULL AND is_object(line), from_json(line, '{
        "trade_dt": "VARCHAR", "file_tm": "VARCHAR", "event_type": "VARCHAR", "symbol": "VARCHAR",
        "event_tm": "VARCHAR", "event_seq_nb": "VARCHAR", "exchange": "VARCHAR", "price": "VARCHAR", "size": "VARCHAR",
        "execution_id": "VARCHAR", "bid_pr": "VARCHAR", "bid_size": "VARCHAR", "ask_pr": "VARCHAR",
        "ask_size": "VARCHAR", "exact": "DECIMAL(1,0)"}'), NULL) AS f  -- with a decimal, all numbers keep their text
    FROM lines('json/$day/NASDAQ/')),
json AS (
    SELECT *, list_count([
        f.trade_dt, f.file_tm, f.event_type, f.symbol, f.event_tm, f.event_seq_nb, f.exchange, f.price, f.size,
        f.execution_id, f.bid_pr, f.bid_size, f.ask_pr, f.ask_size]) AS known
    FROM parsed)
SELECT source_file, line, 'NYSE' AS folder,
    coalesce(reason, if((kind = 'T' AND width <> 9) OR (kind = 'Q' AND width <> 11), 'field_count', NULL)) AS reason,
    field(part[1]) AS trade_dt, field(part[2]) AS file_tm, kind AS event_type, field(part[4]) AS symbol,
    field(part[5]) AS event_tm, field(part[6]) AS event_seq_nb, field(part[7]) AS exchange,
    if(kind = 'T', field(part[8]), NULL) AS price, if(kind = 'T', field(part[9]), NULL) AS size,
    NULL AS execution_id, if(kind = 'Q', field(part[8]), NULL) AS bid_pr, if(kind = 'Q', field(part[9]), NULL) AS bid_size,
    if(kind = 'Q', field(part[10]), NULL) AS ask_pr, if(kind = 'Q', field(part[11]), NULL) AS ask_size
FROM csv
UNION ALL
SELECT source_file, line, 'NASDAQ', CASE
        WHEN reason IS NOT NULL THEN reason
        WHEN f IS NULL THEN 'bad_json'
        WHEN NOT is_scalar(f.symbol, line, '/symbol') OR NOT is_scalar(f.execution_id, line, '/execution_id')
            THEN 'bad_json'
        WHEN NOT is_doubtful(line, known) THEN NULL
        WHEN NOT is_strict_json(line) THEN 'bad_json' END,
    field(f.trade_dt), field(f.file_tm), field(f.event_type), field(f.symbol), field(f.event_tm), field(f.event_seq_nb),
    field(f.exchange), field(f.price), field(f.size), field(f.execution_id), field(f.bid_pr), field(f.bid_size),
    field(f.ask_pr), field(f.ask_size)
FROM json;

-- The rules, in order; what no line has is of no interest to the next.
CREATE OR REPLACE TABLE events AS
WITH typed AS (
    SELECT * EXCLUDE (event_tm, event_seq_nb, bid_pr, bid_size, ask_pr, ask_size),
        event_type = 'T' AS is_trade,
        symbol IS NULL OR exchange IS NULL OR trade_dt IS NULL OR file_tm IS NULL OR event_tm IS NULL
            OR event_seq_nb IS NULL OR if(event_type = 'T', price IS NULL OR size IS NULL,
            bid_pr IS NULL OR bid_size IS NULL OR ask_pr IS NULL OR ask_size IS NULL) AS lacks_field,
        day_of(trade_dt) AS record_dt, time_of(file_tm) AS arrival_tm, time_of(event_tm) AS event_tm,
        count_of(event_seq_nb) AS event_seq_nb, price(price) AS trade_pr, count_of(size) AS trade_size,
        price(bid_pr) AS bid_pr, count_of(bid_size) AS bid_size, price(ask_pr) AS ask_pr, count_of(ask_size) AS ask_size
    FROM records),
judged AS (
    SELECT * EXCLUDE reason, coalesce(reason, CASE
        WHEN event_type IS NULL OR event_type NOT IN ('T', 'Q') THEN 'unknown_record_type'
        WHEN lacks_field THEN 'missing_field'
        WHEN record_dt IS NULL OR arrival_tm IS NULL OR event_tm IS NULL THEN 'bad_timestamp'
        WHEN event_seq_nb IS NULL OR if(is_trade, trade_pr IS NULL OR trade_size IS NULL,
             bid_pr IS NULL OR bid_size IS NULL OR ask_pr IS NULL OR ask_size IS NULL) THEN 'bad_number'
        WHEN if(is_trade, event_seq_nb < 0 OR trade_pr <= 0 OR trade_size <= 0,
             event_seq_nb < 0 OR bid_pr < 0 OR bid_size < 0 OR ask_pr < 0 OR ask_size < 0) THEN 'out_of_range'
        WHEN record_dt <> DATE '$day' THEN 'wrong_trade_date'
        WHEN exchange <> folder THEN 'wrong_exchange' END) AS reject_reason
    FROM typed)
SELECT DATE '$day' AS trade_dt, if(reject_reason IS NULL, event_type, 'B') AS rec_type,
    if(rec_type <> 'B', symbol, NULL) AS symbol, folder AS exchange, if(rec_type <> 'B', event_tm, NULL) AS event_tm,
    if(rec_type <> 'B', event_seq_nb, NULL) AS event_seq_nb, if(rec_type <> 'B', arrival_tm, NULL) AS arrival_tm,
    if(rec_type = 'T', trade_pr, NULL) AS trade_pr, if(rec_type = 'T', trade_size, NULL) AS trade_size,
    if(rec_type = 'T', execution_id, NULL) AS execution_id, if(rec_type = 'Q', bid_pr, NULL) AS bid_pr,
    if(rec_type = 'Q', bid_size, NULL) AS bid_size, if(rec_type = 'Q', ask_pr, NULL) AS ask_pr,
    if(rec_type = 'Q', ask_size, NULL) AS ask_size, reject_reason,
    if(rec_type = 'B', source_file, NULL) AS source_file, if(rec_type = 'B', line, NULL) AS line
FROM judged;
SELECT if(count(*) = $lines, NULL, error('there are $lines lines, and not ' || count(*))) FROM events;
COPY (SELECT * EXCLUDE (trade_dt, rec_type) FROM events WHERE rec_type = 'T')
TO '$out/ingested/events/rec_type=T/$day.parquet' (COMPRESSION zstd);
COPY (SELECT * EXCLUDE (trade_dt, rec_type) FROM events WHERE rec_type = 'Q')
TO '$out/ingested/events/rec_type=Q/$day.parquet' (COMPRESSION zstd);
COPY (SELECT * EXCLUDE (trade_dt, rec_type) FROM events WHERE rec_type = 'B')
TO '$out/ingested/events/rec_type=B/$day.parquet' (COMPRESSION zstd);
-- next step
-- The latest arrival of every event; if two came at once, the greater values.
CREATE OR REPLACE TABLE trades AS
SELECT symbol, exchange, event_tm, event_seq_nb, arrival_tm, trade_pr, trade_size, execution_id
FROM events WHERE rec_type = 'T'
QUALIFY row_number() OVER (
    PARTITION BY symbol, exchange, event_tm, event_seq_nb
    ORDER BY arrival_tm DESC, trade_pr DESC, trade_size DESC, execution_id DESC NULLS LAST) = 1;
CREATE OR REPLACE TABLE quotes AS
SELECT symbol, exchange, event_tm, event_seq_nb, arrival_tm, bid_pr, bid_size, ask_pr, ask_size
FROM events WHERE rec_type = 'Q'
QUALIFY row_number() OVER (
    PARTITION BY symbol, exchange, event_tm, event_seq_nb
    ORDER BY arrival_tm DESC, bid_pr DESC, bid_size DESC, ask_pr DESC, ask_size DESC) = 1;
COPY trades TO '$out/eod/trades/$day.parquet' (COMPRESSION zstd);
COPY quotes TO '$out/eod/quotes/$day.parquet' (COMPRESSION zstd);
COPY (SELECT symbol, exchange, arg_max(trade_pr, (event_tm, event_seq_nb)) AS close_pr FROM trades GROUP BY ALL)
TO '$out/eod/closes/$day.parquet' (COMPRESSION zstd);
-- next step
-- Decimals are divided as whole numbers of millionths, and rounded half up: DuckDB divides them as doubles.
CREATE OR REPLACE MACRO millionths(price) AS (price::DECIMAL(28,6) * 1000000)::BIGINT;
CREATE OR REPLACE MACRO as_price(millionths) AS
    (try_cast(millionths AS DECIMAL(18,0)) * 0.000001::DECIMAL(6,6))::DECIMAL(18,6);
CREATE OR REPLACE MACRO half_up(total, number) AS
    as_price(if(total < 0, -((2 * -total + number) // (2 * number)), (2 * total + number) // (2 * number)));
CREATE OR REPLACE TABLE previous AS SELECT symbol, exchange, close_pr AS prev_close_pr FROM $previous_closes;
CREATE OR REPLACE TABLE averaged AS
SELECT symbol, exchange, event_tm, trade_pr, half_up(
    sum(millionths(trade_pr)) OVER half_an_hour, count(*) OVER half_an_hour) AS mov_avg_pr
FROM trades
WINDOW half_an_hour AS (PARTITION BY symbol, exchange ORDER BY event_tm
                        RANGE BETWEEN INTERVAL 30 MINUTES PRECEDING AND CURRENT ROW)
QUALIFY row_number() OVER (PARTITION BY symbol, exchange, event_tm ORDER BY event_seq_nb DESC) = 1;
COPY (
    SELECT symbol, exchange, q.event_tm, event_seq_nb, bid_pr, bid_size, ask_pr, ask_size, trade_pr AS last_trade_pr,
        mov_avg_pr AS last_mov_avg_pr, prev_close_pr AS close_pr,
        (bid_pr - prev_close_pr)::DECIMAL(18,6) AS bid_pr_mv, (ask_pr - prev_close_pr)::DECIMAL(18,6) AS ask_pr_mv,
        prev_close_pr AS adjusted_close_pr
    FROM quotes AS q
    ASOF LEFT JOIN averaged AS t USING (symbol, exchange, event_tm)
    LEFT JOIN previous USING (symbol, exchange)
) TO '$out/report/quote_analytics/$day.parquet' (COMPRESSION zstd);
COPY (
    WITH traded AS (
        SELECT symbol, exchange, arg_min(trade_pr, (event_tm, event_seq_nb)) AS open_pr, max(trade_pr) AS high_pr,
            min(trade_pr) AS low_pr, arg_max(trade_pr, (event_tm, event_seq_nb)) AS close_pr,
            try_cast(sum(trade_size) AS BIGINT) AS volume, count(*) AS trade_count,
            half_up(sum(millionths(trade_pr)::HUGEINT * trade_size), sum(trade_size)) AS vwap_pr
        FROM trades GROUP BY ALL),
    quoted AS (
        SELECT symbol, exchange, count(*) AS quote_count,
            half_up(sum(millionths(ask_pr - bid_pr)), count(*)) AS avg_spread
        FROM quotes GROUP BY ALL)
    SELECT symbol, exchange, open_pr, high_pr, low_pr, close_pr, if(trade_count IS NULL, 0, volume) AS volume,
        coalesce(trade_count, 0) AS trade_count, vwap_pr, coalesce(quote_count, 0) AS quote_count, avg_spread,
        prev_close_pr, (close_pr - prev_close_pr)::DECIMAL(18,6) AS change_pr,
        half_up(100000000 * millionths(close_pr - prev_close_pr)::HUGEINT, millionths(prev_close_pr)) AS change_pct,
        prev_close_pr AS adjusted_prev_close_pr
    FROM traded FULL JOIN quoted USING (symbol, exchange) LEFT JOIN previous USING (symbol, exchange)
) TO '$out/report/daily_summary/$day.parquet' (COMPRESSION zstd);
COPY (
    WITH lengths AS (SELECT unnest([1, 5, 30]) AS minutes),
    traded AS (
        SELECT symbol, exchange, minutes::BIGINT AS minutes, time_bucket(to_minutes(minutes), event_tm) AS bar_tm,
            arg_min(trade_pr, (event_tm, event_seq_nb)) AS open_pr, max(trade_pr) AS high_pr, min(trade_pr) AS low_pr,
            arg_max(trade_pr, (event_tm, event_seq_nb)) AS close_pr, try_cast(sum(trade_size) AS BIGINT) AS volume,
            half_up(sum(millionths(trade_pr)::HUGEINT * trade_size), sum(trade_size)) AS vwap_pr,
            count(*) AS trade_count
        FROM trades, lengths GROUP BY ALL),
    quoted AS (
        SELECT symbol, exchange, minutes::BIGINT AS minutes, time_bucket(to_minutes(minutes), event_tm) AS bar_tm,
            arg_max({'bid': bid_pr, 'ask': ask_pr}, (event_tm, event_seq_nb)) AS last_quote,
            half_up(sum(millionths(ask_pr - bid_pr)), count(*)) AS avg_spread, count(*) AS quote_count
        FROM quotes, lengths GROUP BY ALL)
    SELECT symbol, exchange, minutes, bar_tm, open_pr, high_pr, low_pr, close_pr,
        if(trade_count IS NULL, 0, volume) AS volume, vwap_pr, coalesce(trade_count, 0) AS trade_count,
        last_quote.bid AS last_bid_pr, last_quote.ask AS last_ask_pr, avg_spread,
        coalesce(quote_count, 0) AS quote_count
    FROM traded FULL JOIN quoted USING (symbol, exchange, minutes, bar_tm)
) TO '$out/report/bars/$day.parquet' (COMPRESSION zstd);
