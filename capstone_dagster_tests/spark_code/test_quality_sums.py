"""The sums of a day's quality against a model of plain loops, and single cases of what is counted."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

from capstone_dagster.readers.rows import arrow_schema
from capstone_dagster_tests.builders.published_files import publish
from capstone_dagster_tests.builders.rows import DAY, Row, at, close, event, quote, trade
from spark_code.corporate_actions import Action, Actions, Kind
from spark_code.lake import Lake
from spark_code.quality_sums import summed_up
from spark_code.schemas import CLOSES, EVENTS, QUOTES, TRADES, Reject

HOURS = (time(9, 30), time(16))
NO_SPLITS: Mapping[str, int] = {}
JUMPS = ("jump_at_open", "jump_in_day")


def rejected(reason: str, exchange: str = "NYSE") -> Row:
    of = dict.fromkeys(EVENTS.columns) | {"trade_dt": DAY, "exchange": exchange, "reject_reason": reason}
    return tuple(of.values())


def sums_of(
    folder: Path,
    trades: Sequence[Row] = (),
    quotes: Sequence[Row] = (),
    closes: Sequence[Row] = (),
    bad: Sequence[Row] = (),
    splits: Mapping[str, int] = NO_SPLITS,
) -> dict[str, dict[str, Any]]:
    lake = Lake(f"{folder}")
    lines = [*map(event, (*trades, *quotes)), *bad]
    files = {}
    for table, rows in {EVENTS: lines, TRADES: trades, QUOTES: quotes, CLOSES: closes}.items():
        named = [dict(zip(table.columns, row, strict=True)) for row in rows]
        parts = {"part-0.parquet": named[::2], "part-1.parquet": named[1::2]} if named else {}
        files[table] = publish(lake, table, parts, schema=arrow_schema(table)).paths
    actions = [
        Action(symbol, DAY, Kind.SPLIT, Fraction(ratio), line, f"{ratio}")
        for line, (symbol, ratio) in enumerate(splits.items(), start=1)
    ]
    return dict(summed_up(lake.storage, files, DAY, HOURS, Actions(actions)))


def model(
    trades: Sequence[Row],
    quotes: Sequence[Row],
    closes: Sequence[Row],
    bad: Sequence[Row],
    splits: Mapping[str, int],
) -> dict[str, dict[str, Any]]:
    """The same by loops over each instrument."""
    sums: dict[str, dict[str, Any]] = {}
    lines = [*trades, *quotes, *bad]
    for exchange in {*(row[2] for row in (*trades, *quotes, *closes)), *(row[3] for row in bad)}:
        own_trades, own_quotes = ([row for row in rows if row[2] == exchange] for rows in (trades, quotes))
        own_bad = [row for row in bad if row[3] == exchange]
        before = {row[1]: row[3] for row in closes if row[2] == exchange}
        seen = {row[1] for row in (*own_trades, *own_quotes)}
        of: dict[str, Any] = {
            "lines": len(own_trades) + len(own_quotes) + len(own_bad),
            "rejected": len(own_bad),
            **{f"rejected_{reason}": sum(row[14] == reason for row in own_bad) for reason in Reject},
            "trades": len(own_trades),
            "quotes": len(own_quotes),
            "volume": sum(row[7] for row in own_trades),
            "late": sum(row[5].date() > DAY for row in (*own_trades, *own_quotes)),
            "trades_outside_hours": sum(map(is_outside, own_trades)),
            "quotes_outside_hours": sum(map(is_outside, own_quotes)),
            "crossed": sum(row[6] > row[8] > 0 for row in own_quotes),
            "locked": sum(row[6] == row[8] > 0 for row in own_quotes),
            "zero": sum(row[6] == row[8] == 0 for row in own_quotes),
            "one_sided": sum((row[6] == 0) != (row[8] == 0) for row in own_quotes),
            "symbols": len(seen),
            "vanished_symbols": len(before.keys() - seen),
            "first_vanished_symbols": min(before.keys() - seen, default=None),
            "new_symbols": len({row[1] for row in own_trades} - before.keys()),
            "first_new_symbols": min({row[1] for row in own_trades} - before.keys(), default=None),
            "quotes_without_close": sum(row[1] not in before for row in own_quotes),
            "sequence_missing": 0,
            "sequence_repeated": 0,
        }
        jumps: dict[str, list[Any]] = {name: [] for name in JUMPS}
        for symbol in seen:
            numbers = [row[4] for row in (*own_trades, *own_quotes) if row[1] == symbol]
            of["sequence_missing"] += max(numbers) - min(numbers) + 1 - len(set(numbers))
            of["sequence_repeated"] += len(numbers) - len(set(numbers))
            prices = [row[6] for row in sorted(own_trades, key=lambda row: row[3:5]) if row[1] == symbol]
            if prices and symbol in before:
                exact = before[symbol] / splits.get(symbol, 1)
                compared = exact.quantize(Decimal("0.000001"), ROUND_HALF_UP) or before[symbol]
                moved = abs(float(prices[0]) / float(compared) - 1)
                jumps["jump_at_open"].append((moved, symbol, compared, prices[0], before[symbol]))
            if prices:
                moved = float(max(prices)) / float(min(prices)) - 1
                jumps["jump_in_day"].append((moved, symbol, min(prices), max(prices)))
        of |= {name: max(found)[1:] if found else None for name, found in jumps.items()}
        sums[exchange] = of
    assert sum(of["lines"] for of in sums.values()) == len(lines)
    return sums


def is_outside(row: Row) -> bool:
    return not at("09:30") <= row[3] <= at("16:00")


def some_day(chance: Random) -> tuple[list[Row], list[Row], list[Row], list[Row], dict[str, int]]:
    def instrument() -> dict[str, Any]:
        return {"symbol": chance.choice("ABC"), "exchange": chance.choice(["NYSE", "NASDAQ"])}

    def clock() -> str:
        usual = [f"{chance.randint(10, 15)}:{chance.randint(0, 59):02}:00.{chance.randint(0, 9)}" for _ in range(5)]
        return chance.choice([*usual, "09:29:59.999999", "09:30", "16:00", "16:00:00.000001", "04:00"])

    def number() -> int:
        return chance.choice([chance.randint(0, 20), chance.randint(0, 20), 2**63 - 1])

    def arrived(row: Row) -> Row:
        return (*row[:5], chance.choice([at("16:15"), datetime.combine(DAY + timedelta(days=1), time())]), *row[6:])

    prices, asked = ["1", "1.000001", "7.5", "999999999999.999999"], ["0", "1", "1.000001", "7.5"]
    trades = [
        arrived(
            trade(clock(), chance.choice(prices), seq=number(), size=chance.choice([1, 9 * 10**18]), **instrument())
        )
        for _ in range(chance.randint(0, 12))
    ]
    quotes = [
        arrived(quote(clock(), chance.choice(asked), chance.choice(asked), seq=number(), **instrument()))
        for _ in range(chance.randint(0, 12))
    ]
    # The key of an event comes once in a day.
    trades, quotes = (list({row[1:5]: row for row in rows}.values()) for rows in (trades, quotes))
    instruments = {tuple(instrument().values()) for _ in range(chance.randint(0, 6))}
    closes = [close(chance.choice(prices), symbol=symbol, exchange=exchange) for symbol, exchange in instruments]
    bad = [
        rejected(chance.choice(list(Reject)), chance.choice(["NYSE", "NASDAQ"])) for _ in range(chance.randint(0, 4))
    ]
    splits = {symbol: chance.choice([2, 3, 10**7]) for symbol in "ABD" if chance.random() < 0.5}
    return trades, quotes, closes, bad, splits


def test_the_sums_are_those_of_the_model(tmp_path: Path, rounds: Callable[[int], int]) -> None:
    for seed in range(rounds(25)):
        day = some_day(Random(seed))  # noqa: S311 - no secret depends on it
        assert sums_of(tmp_path / f"{seed}", *day) == model(*day), f"seed {seed}"


def test_a_day_without_an_event_adds_up_to_nothing(tmp_path: Path) -> None:
    assert sums_of(tmp_path) == {}


def test_files_below_a_folder_that_looks_like_a_column_are_read(tmp_path: Path) -> None:
    found = sums_of(tmp_path / "exchange=US", [trade("10:00", "5")])

    assert (list(found), found["NYSE"]["volume"]) == (["NYSE"], 100)
