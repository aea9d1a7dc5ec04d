-- A day as somebody would load it with DuckDB in an afternoon: typed parsing, no rules, no rejects.
-- Lines that do not parse are dropped, and so are those of other days.
CREATE OR REPLACE TABLE events AS
SELECT trade_dt, event_type AS rec_type, symbol, exchange, event_tm, event_seq_nb, file_tm AS arrival_tm,
       if(event_type = 'T', first_pr, NULL) AS trade_pr, if(event_type = 'T', first_size, NULL) AS trade_size,
       NULL::VARCHAR AS execution_id,
       if(event_type = 'Q', first_pr, NULL) AS bid_pr, if(event_type = 'Q', first_size, NULL) AS bid_size,
       ask_pr, ask_size
FROM read_csv(
    '$raw/csv/$day/NYSE/[!_]*', auto_detect = false, header = false, delim = ',', quote = '', escape = '', null_padding = true,
    ignore_errors = true, columns = {
        'trade_dt': 'DATE', 'file_tm': 'TIMESTAMP', 'event_type': 'VARCHAR', 'symbol': 'VARCHAR',
        'event_tm': 'TIMESTAMP', 'event_seq_nb': 'BIGINT', 'exchange': 'VARCHAR',
        'first_pr': 'DECIMAL(18,6)', 'first_size': 'BIGINT', 'ask_pr': 'DECIMAL(18,6)', 'ask_size': 'BIGINT'})
WHERE event_type IN ('T', 'Q') AND trade_dt = '$day'
UNION ALL
SELECT trade_dt, event_type, symbol, exchange, event_tm, event_seq_nb, file_tm,
       price, size, execution_id, bid_pr, bid_size, ask_pr, ask_size
FROM read_json(
    '$raw/json/$day/NASDAQ/[!_]*', format = 'newline_delimited', ignore_errors = true, columns = {
        'trade_dt': 'DATE', 'file_tm': 'TIMESTAMP', 'event_type': 'VARCHAR', 'symbol': 'VARCHAR',
        'event_tm': 'TIMESTAMP', 'event_seq_nb': 'BIGINT', 'exchange': 'VARCHAR',
        'price': 'DECIMAL(18,6)', 'size': 'BIGINT', 'execution_id': 'VARCHAR',
        'bid_pr': 'DECIMAL(18,6)', 'bid_size': 'BIGINT', 'ask_pr': 'DECIMAL(18,6)', 'ask_size': 'BIGINT'})
WHERE event_type IN ('T', 'Q') AND trade_dt = '$day';

COPY (SELECT * EXCLUDE rec_type FROM events WHERE rec_type = 'T')
TO '$out/ingested/events/rec_type=T/$day.parquet' (COMPRESSION zstd);
COPY (SELECT * EXCLUDE rec_type FROM events WHERE rec_type = 'Q')
TO '$out/ingested/events/rec_type=Q/$day.parquet' (COMPRESSION zstd);
-- next step
CREATE OR REPLACE TABLE trades AS
SELECT trade_dt, symbol, exchange, event_tm, event_seq_nb, arrival_tm, trade_pr, trade_size, execution_id
FROM events WHERE rec_type = 'T'
QUALIFY row_number() OVER (PARTITION BY symbol, exchange, event_tm, event_seq_nb ORDER BY arrival_tm DESC) = 1;
CREATE OR REPLACE TABLE quotes AS
SELECT trade_dt, symbol, exchange, event_tm, event_seq_nb, arrival_tm, bid_pr, bid_size, ask_pr, ask_size
FROM events WHERE rec_type = 'Q'
QUALIFY row_number() OVER (PARTITION BY symbol, exchange, event_tm, event_seq_nb ORDER BY arrival_tm DESC) = 1;
COPY trades TO '$out/eod/trades/$day.parquet' (COMPRESSION zstd);
COPY quotes TO '$out/eod/quotes/$day.parquet' (COMPRESSION zstd);
COPY (SELECT trade_dt, symbol, exchange, arg_max(trade_pr, (event_tm, event_seq_nb)) AS close_pr FROM trades GROUP BY ALL)
TO '$out/eod/closes/$day.parquet' (COMPRESSION zstd);
-- next step
CREATE OR REPLACE TABLE previous AS
SELECT symbol, exchange, close_pr AS prev_close_pr FROM $previous_closes;
COPY (
    SELECT q.trade_dt, q.symbol, q.exchange, q.event_tm, q.event_seq_nb, bid_pr, bid_size, ask_pr, ask_size,
           t.trade_pr AS last_trade_pr, t.mov_avg_pr AS last_mov_avg_pr, prev_close_pr AS close_pr,
           bid_pr - prev_close_pr AS bid_pr_mv, ask_pr - prev_close_pr AS ask_pr_mv,
           prev_close_pr AS adjusted_close_pr
    FROM quotes AS q
    ASOF LEFT JOIN (
        SELECT symbol, exchange, event_tm, trade_pr, avg(trade_pr) OVER (
            PARTITION BY symbol, exchange ORDER BY event_tm
            RANGE BETWEEN INTERVAL 30 MINUTES PRECEDING AND CURRENT ROW) AS mov_avg_pr
        FROM trades
        QUALIFY row_number() OVER (PARTITION BY symbol, exchange, event_tm ORDER BY event_seq_nb DESC) = 1
    ) AS t ON q.symbol = t.symbol AND q.exchange = t.exchange AND q.event_tm >= t.event_tm
    LEFT JOIN previous AS p ON q.symbol = p.symbol AND q.exchange = p.exchange
) TO '$out/report/quote_analytics/$day.parquet' (COMPRESSION zstd);
COPY (
    SELECT *, close_pr - prev_close_pr AS change_pr, 100 * (close_pr - prev_close_pr) / prev_close_pr AS change_pct,
        prev_close_pr AS adjusted_prev_close_pr
    FROM (
        SELECT trade_dt, symbol, exchange, arg_min(trade_pr, (event_tm, event_seq_nb)) AS open_pr,
               max(trade_pr) AS high_pr, min(trade_pr) AS low_pr,
               arg_max(trade_pr, (event_tm, event_seq_nb)) AS close_pr,
               sum(trade_size) AS volume, count(*) AS trade_count, sum(trade_pr * trade_size) / sum(trade_size) AS vwap_pr
        FROM trades GROUP BY ALL)
    FULL JOIN (SELECT trade_dt, symbol, exchange, count(*) AS quote_count, avg(ask_pr - bid_pr) AS avg_spread
               FROM quotes GROUP BY ALL) USING (trade_dt, symbol, exchange)
    LEFT JOIN previous USING (symbol, exchange)
) TO '$out/report/daily_summary/$day.parquet' (COMPRESSION zstd);
COPY (
    SELECT *
    FROM (
        SELECT symbol, exchange, minutes, time_bucket(to_minutes(minutes), event_tm) AS bar_tm,
               arg_min(trade_pr, (event_tm, event_seq_nb)) AS open_pr, max(trade_pr) AS high_pr,
               min(trade_pr) AS low_pr, arg_max(trade_pr, (event_tm, event_seq_nb)) AS close_pr,
               sum(trade_size) AS volume, sum(trade_pr * trade_size) / sum(trade_size) AS vwap_pr,
               count(*) AS trade_count
        FROM trades, (SELECT unnest([1, 5, 30]) AS minutes) GROUP BY ALL)
    FULL JOIN (
        SELECT symbol, exchange, minutes, time_bucket(to_minutes(minutes), event_tm) AS bar_tm,
               arg_max(bid_pr, (event_tm, event_seq_nb)) AS last_bid_pr,
               arg_max(ask_pr, (event_tm, event_seq_nb)) AS last_ask_pr, avg(ask_pr - bid_pr) AS avg_spread,
               count(*) AS quote_count
        FROM quotes, (SELECT unnest([1, 5, 30]) AS minutes) GROUP BY ALL
    ) USING (symbol, exchange, minutes, bar_tm)
) TO '$out/report/bars/$day.parquet' (COMPRESSION zstd);
