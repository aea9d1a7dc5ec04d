"""What the sensor remembers, and that its text says the same as it."""

from datetime import UTC, date, datetime, timedelta

import pytest

from capstone_dagster.automation.new_files_cursor import Ledger
from capstone_dagster.deliveries.misplaced_files import Misplaced
from capstone_dagster.trading_days import trading_days

CALENDAR = trading_days(date(2020, 8, 3))
MONDAY, TUESDAY, WEDNESDAY = CALENDAR.parse("2020-08-03..2020-08-05")
NOW = datetime(2020, 8, 6, 22, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
MISPLACED = [
    Misplaced("xml", "no format"),
    Misplaced(f"csv/{MONDAY}/LSE", "unknown"),
    Misplaced(f"csv/{TUESDAY}", "loose"),
]


def full() -> Ledger:
    ledger = Ledger(past=[(date(2020, 7, 1), date(2020, 7, 31))], look_at=TUESDAY, judge_at=WEDNESDAY)
    for day in (MONDAY, TUESDAY):
        for exchange in ("NYSE", "NASDAQ"):
            ledger.see(day, exchange, f"{exchange} {day}".replace(" ", ""), NOW).is_recorded = True
    ledger.see(WEDNESDAY, "NYSE", "w", NOW)
    ledger.settled |= {MONDAY, TUESDAY}
    ledger.announce(MISPLACED, [])
    return ledger


def test_a_text_says_what_was_remembered() -> None:
    read = Ledger.parse(str(full()))

    assert str(read) == str(full())
    assert read.days[WEDNESDAY] == full().days[WEDNESDAY]
    assert (read.settled, read.announced, read.past) == (full().settled, full().announced, full().past)
    assert (read.look_at, read.judge_at) == (TUESDAY, WEDNESDAY)
    assert [seen.fingerprint for seen in read.days[MONDAY].values()] == ["NASDAQ2020-08-03", "NYSE2020-08-03"]


def test_a_misplaced_file_whose_name_is_no_text_is_remembered_too() -> None:
    ledger = Ledger()
    ledger.announce([Misplaced("csv/r\udce9sum\udce9.csv", "loose")], [])

    assert Ledger.parse(str(ledger)).announced == {"csv/r\udce9sum\udce9.csv"}


def test_the_cursor_of_an_older_release_is_read_and_written_as_it_was() -> None:
    text = (
        '{"version":2,"exchanges":["LSE","NASDAQ","NYSE"],'
        '"settled":{"2020-08-03":"l NASDAQ2020-08-03 NYSE2020-08-03","2020-08-04":"- NASDAQ2020-08-04 NYSE2020-08-04"},'
        '"open":{"2020-08-05":{"NYSE":["w",1596751200.0,false]}},"told":["csv/2020-08-03/LSE","csv/2020-08-04","xml"],'
        '"past":[["2020-07-01","2020-07-31"]],"next":[null,"2020-08-05"]}'
    )
    expected = full()
    expected.see(MONDAY, "LSE", "l", NOW).is_recorded = True
    expected.settled.add(MONDAY)

    read = Ledger.parse(text)

    assert str(read) == text
    assert (read.settled, read.announced, read.past) == (expected.settled, expected.announced, expected.past)
    assert (read.days[WEDNESDAY], read.look_at, read.judge_at) == (expected.days[WEDNESDAY], None, WEDNESDAY)


@pytest.mark.parametrize(
    "text", [None, "", "no json", "[]", "3", "{}", '{"version": 2}', '{"version": 1, "settled": {"2020": "a"}}']
)
def test_a_text_that_is_missing_broken_or_of_another_release_counts_as_nothing(text: str | None) -> None:
    assert Ledger.parse(text) == Ledger()


def test_a_day_that_was_settled_before_there_was_another_exchange_is_written_and_read() -> None:
    ledger = full()
    ledger.see(MONDAY, "LSE", "l", NOW)
    ledger.settled.add(MONDAY)

    read = Ledger.parse(str(ledger))

    assert read.days[MONDAY].keys() == {"LSE", "NASDAQ", "NYSE"}
    assert read.days[TUESDAY].keys() == {"NASDAQ", "NYSE"}


def test_a_fingerprint_is_remembered_since_it_was_first_seen() -> None:
    ledger = Ledger()
    ledger.see(MONDAY, "NYSE", "a", NOW)

    assert ledger.see(MONDAY, "NYSE", "a", LATER).since == NOW
    assert ledger.see(MONDAY, "NYSE", "b", LATER).since == LATER
    assert ledger.see(MONDAY, "NASDAQ", "a", LATER).since == LATER


@pytest.mark.faults("F13", sample=True)
def test_when_the_clock_was_set_back_it_counts_from_there() -> None:
    ledger = Ledger()
    ledger.see(MONDAY, "NYSE", "a", LATER)

    assert ledger.see(MONDAY, "NYSE", "a", NOW).since == NOW


def test_a_settled_day_stays_so_until_a_file_of_any_exchange_changes() -> None:
    ledger = full()

    ledger.see(MONDAY, "NYSE", "NYSE2020-08-03", LATER)
    assert MONDAY in ledger.settled
    assert not ledger.see(MONDAY, "NASDAQ", "other", LATER).is_recorded
    assert ledger.settled == {TUESDAY}


def test_days_that_are_not_watched_any_more_are_forgotten_and_announced_if_they_were_not_settled() -> None:
    ledger = full()

    assert ledger.watch([], [MONDAY, TUESDAY, WEDNESDAY], CALENDAR) == [(WEDNESDAY, WEDNESDAY)]
    assert (ledger.days, ledger.settled) == ({}, set())
    assert ledger.watch([], [MONDAY, TUESDAY, WEDNESDAY], CALENDAR) == []


def test_days_that_were_never_watched_are_announced_once_as_spans() -> None:
    ledger = Ledger()
    older = [*CALENDAR.parse("2020-08-03..2020-08-10"), *CALENDAR.parse("2020-09-03..2020-09-08")]
    announced = [(date(2020, 8, 3), date(2020, 8, 10)), (date(2020, 9, 3), date(2020, 9, 8))]

    assert ledger.watch([], older, CALENDAR) == announced
    assert Ledger.parse(str(ledger)).watch([], older, CALENDAR) == []
    assert ledger.watch([], [*older, date(2020, 9, 10)], CALENDAR) == [(date(2020, 9, 10), date(2020, 9, 10))]


def test_a_misplaced_file_is_announced_once_also_while_its_day_is_not_looked_at() -> None:
    ledger = Ledger()

    assert ledger.announce(MISPLACED, []) == MISPLACED
    assert ledger.announce(MISPLACED[:1], [MONDAY, TUESDAY]) == []
    assert Ledger.parse(str(ledger)).announce(MISPLACED, []) == []


def test_a_misplaced_file_that_is_gone_is_forgotten() -> None:
    ledger = Ledger()
    ledger.announce(MISPLACED, [])
    ledger.announce([], [TUESDAY])

    assert ledger.announced == {f"csv/{TUESDAY}"}
