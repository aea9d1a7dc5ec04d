"""The fields of records: what is accepted and as which columns, what is rejected and why."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

Changes = Mapping[str, str | None]

# name, kind, fields of the record, columns of the row
ACCEPTED: list[tuple[str, str, Changes, dict[str, Any]]] = [
    ("a trade", "T", {}, {}),
    ("a quote", "Q", {}, {}),
    ("blanks around every text", "T",
     {"symbol": " blanks around every text\t", "event_type": " T\t", "trade_dt": "\t2020-08-06 "}, {}),
    ("blanks around a time", "T",
     {"event_tm": "  2020-08-06 09:59:00.123 ", "file_tm": " 2020-08-06 10:00:00 "}, {}),
    ("blanks around a number", "T", {"price": " 100.25\t", "size": "\t300 ", "event_seq_nb": " 7 "}, {}),
    ("half of the seventh decimal rounds up", "T", {"price": "0.0000005"}, {"trade_pr": "0.000001"}),
    ("half of the seventh decimal rounds away from even", "T", {"price": "1.0000005"}, {"trade_pr": "1.000001"}),
    ("less than half rounds down", "T", {"price": "1.00000049999999999999"}, {"trade_pr": "1.000000"}),
    ("bids and asks round half up", "Q", {"bid_pr": "2.0000025", "ask_pr": "2.0000035"},
     {"bid_pr": "2.000003", "ask_pr": "2.000004"}),
    ("eighteen digits stay exact", "T", {"price": "123456789012.345678"}, {"trade_pr": "123456789012.345678"}),
    ("the greatest price", "T", {"price": "999999999999.9999994"}, {"trade_pr": "999999999999.999999"}),
    ("a price in exponents", "T", {"price": "1e3"}, {"trade_pr": "1000.000000"}),
    ("a price in upper-case signed exponents", "T", {"price": "+12.5E-1"}, {"trade_pr": "1.250000"}),
    ("leading zeros", "T", {"price": "000000000000000000000000000000000000000001.5"}, {"trade_pr": "1.500000"}),
    ("sixty decimals", "T", {"price": "0." + "3" * 60}, {"trade_pr": "0.333333"}),
    ("a size with zero decimals", "T", {"size": "300.000"}, {}),
    ("a size in exponents", "T", {"size": "3e2"}, {}),
    ("a size as Java prints doubles", "T", {"size": "1.2345678901E10"}, {"trade_size": 12_345_678_901}),
    ("a size with zeros to take away", "T", {"size": "1200000000000000000000e-19"}, {"trade_size": 120}),
    ("a size below one moved up", "T", {"size": "+0.00012000e5"}, {"trade_size": 12}),
    ("the greatest size in exponents", "T", {"size": "9.223372036854775807e18"}, {"trade_size": 2**63 - 1}),
    ("a price with zeros to take away", "T", {"price": "1200000000000000000000e-19"}, {"trade_pr": "120.000000"}),
    ("a price of nothing times much", "Q", {"bid_pr": "0e400", "bid_size": "0.0e9999"},
     {"bid_pr": "0.000000", "bid_size": 0}),
    ("a price of next to nothing", "Q", {"bid_pr": "1e-9999"}, {"bid_pr": "0.000000"}),
    ("the greatest size", "T", {"size": "9223372036854775807"}, {"trade_size": 2**63 - 1}),
    ("a size above the doubles", "T", {"size": "9007199254740993"}, {"trade_size": 9007199254740993}),
    ("sequence number zero", "T", {"event_seq_nb": "0"}, {"event_seq_nb": 0}),
    ("a quote of nothing", "Q", {"bid_pr": "0", "bid_size": "0", "ask_pr": "0.000", "ask_size": "-0"},
     {"bid_pr": "0.000000", "bid_size": 0, "ask_pr": "0.000000", "ask_size": 0}),
    ("a crossed quote", "Q", {"bid_pr": "9", "ask_pr": "8"}, {"bid_pr": "9.000000", "ask_pr": "8.000000"}),
    ("a time without a fraction", "T", {"event_tm": "2020-08-06 09:59:00"}, {"event_tm": datetime(2020, 8, 6, 9, 59)}),
    ("a fraction is cut to microseconds", "T",
     {"event_tm": "2020-08-06 23:59:59.9999999", "file_tm": "2020-08-06 10:00:00.0000019"},
     {"event_tm": datetime(2020, 8, 6, 23, 59, 59, 999_999), "arrival_tm": datetime(2020, 8, 6, 10, 0, 0, 1)}),
    ("a fraction of thirty digits", "T", {"event_tm": "2020-08-06 09:59:00.123456789012345678901234567890"},
     {"event_tm": datetime(2020, 8, 6, 9, 59, 0, 123_456)}),
    ("a time that a zone would skip", "T", {"event_tm": "2020-03-08 02:30:00", "file_tm": "2020-11-01 01:30:00"},
     {"event_tm": datetime(2020, 3, 8, 2, 30), "arrival_tm": datetime(2020, 11, 1, 1, 30)}),
    ("the leap day", "T", {"event_tm": "2020-02-29 00:00:00"}, {"event_tm": datetime(2020, 2, 29)}),
    ("SYM Ä€𝄞 \"q\" 'r' \\", "T", {}, {}),
]  # fmt: skip

# name, reason, kind, fields of the record
REJECTED: list[tuple[str, str, str, Changes]] = [
    *(
        (f"record type {kind!r}", "unknown_record_type", "T", {"event_type": kind})
        for kind in (None, "  ", "B", "X", "t", "q", "TQ", "trade", "0")
    ),
    *(
        (f"{name} {state}", "missing_field", kind, {name: value})
        for kind, names in (
            ("T", ("trade_dt", "file_tm", "symbol", "event_tm", "event_seq_nb", "exchange", "price", "size")),
            ("Q", ("bid_pr", "bid_size", "ask_pr", "ask_size")),
        )
        for name in names
        for state, value in (("missing", None), ("of blanks", " \t "))
    ),
    *(
        (f"{name} {text!r}", "bad_timestamp", "T", {name: text})
        for name, texts in {
            "trade_dt": ("2020-8-6", "20200806", "06.08.2020", "2020-02-30", "2020-08-06 00:00:00", "0000-01-01"),
            "event_tm": (
                "2020-08-06", "2020-08-06T09:59:00", "2020-08-06 9:59:00", "2020-08-06 09:59", "2020-08-06  09:59:00",
                "2020-08-06 24:00:00", "2020-08-06 09:60:00", "2020-08-06 09:59:60", "2020-13-01 00:00:00",
                "2021-02-29 00:00:00", "2020-08-06 09:59:00.", "2020-08-06 09:59:00Z", "2020-08-06 09:59:00+02:00",
                "2020-08-06 09:59:00.1 UTC", "+2020-08-06 09:59:00", "12020-08-06 09:59:00", "1596700740", "noon",
                "٢٠٢٠-08-06 09:59:00",
            ),
            "file_tm": ("2020-08-06 10:00", "now"),
        }.items()
        for text in texts
    ),
    *(
        (f"{name} {text[:24]!r}", "bad_number", "T", {name: text})
        for name, texts in {
            "price": (
                "abc", "NaN", "nan", "Infinity", "-Infinity", "inf", "null", "1.2.3", ".5", "5.", "1e", "e3", "1e1.5",
                "--1", "+", "1 000", "1_000", "$1", "1f", "1d", "0x10", "٣", "1000000000000",
                "999999999999.9999995", "1e12", "1e400", "1e999999999", "9" * 2000,
            ),
            "size": ("100.5", "1e-1", "1.5e0", "9223372036854775808", "1e19", "1e999999999", "NaN", "true", "9" * 40,
                     "100.0000000000000000001", "1e-9999", "9.223372036854775808e18", "12345678901e-1",
                     "1000000000000000000000000000000000000001e-39", "1.00000000000000000000000001e1"),
            "event_seq_nb": ("1.5", "6e-22", "seven", "-9223372036854775809"),
        }.items()
        for text in texts
    ),
    *((f"quote of a {name}", "bad_number", "Q", {name: "?"}) for name in ("bid_pr", "bid_size", "ask_pr", "ask_size")),
    *(
        (f"{kind} of {name} {text}", "out_of_range", kind, {name: text})
        for kind, name, text in (
            ("T", "price", "0"), ("T", "price", "0.0000"), ("T", "price", "-1"), ("T", "price", "-0.01"),
            # Judged as it would be kept.
            ("T", "price", "0.0000004"),
            ("T", "size", "0"), ("T", "size", "-100"), ("T", "event_seq_nb", "-1"),
            ("Q", "bid_pr", "-0.01"), ("Q", "ask_pr", "-1e-2"), ("Q", "bid_size", "-1"), ("Q", "ask_size", "-1"),
            ("Q", "event_seq_nb", "-9223372036854775808"),
        )
    ),
    *(
        (f"trade date {day}", "wrong_trade_date", "T", {"trade_dt": day})
        for day in ("2020-08-05", "2020-08-07", "9999-12-31")
    ),
    *((f"exchange {name}", "wrong_exchange", "T", {"exchange": name}) for name in ("LSE", "nyse", "nasdaq")),
]  # fmt: skip

# The reasons in the order of the checks, each with fields that give a trade this fault.
FIELD_FAULTS: dict[str, Changes] = {
    "unknown_record_type": {"event_type": "X"},
    "field_count": {"execution_id": "one field too many in a CSV trade"},
    "missing_field": {"symbol": None},
    "bad_timestamp": {"event_tm": "noon"},
    "bad_number": {"size": "many"},
    "out_of_range": {"price": "-1"},
    "wrong_trade_date": {"trade_dt": "2020-08-05"},
    "wrong_exchange": {"exchange": "LSE"},
}
