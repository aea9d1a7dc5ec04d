"""The file of corporate actions: which lines are actions, which are refused, and what becomes of closes."""

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spark_code.corporate_actions import FILE, NO_ACTIONS, Actions, ActionsFileError, Adjusted, CorporateActions, parsed
from spark_code.locations import StorageError
from spark_code.storage import Storage

FRIDAY, MONDAY, TUESDAY = date(2020, 8, 28), date(2020, 8, 31), date(2020, 9, 1)
NUMBER = "is not a number above zero with at most 12 digits before the point and 6 after it"
FIELDS = "write symbol,ex_date,kind,value"
GREATEST = Decimal("999999999999.999999")


def of_monday(content: bytes | str) -> Actions:
    """What concerns the Monday of a file."""
    actions, refused = parsed(content.encode() if isinstance(content, str) else content)
    return Actions(sorted(actions, key=lambda action: action.order), refused)


def adjusted(content: str, *closes: tuple[str, str, str]) -> Adjusted:
    return of_monday(content).adjusted((symbol, exchange, Decimal(close)) for symbol, exchange, close in closes)


def price_of(content: str, close: str) -> str:
    """The close of ABC, adjusted."""
    found = adjusted(content, ("ABC", "NYSE", close)).closes["ABC", "NYSE"]
    assert found.as_tuple().exponent == -6
    return f"{found.normalize():f}"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"ABC,2020-08-31,split", f"it has 3 fields; {FIELDS}"),
        (b"ABC,2020-08-31,split,4,1", f"it has 5 fields; {FIELDS}"),
        (b"split", f"it has 1 field; {FIELDS}"),
        (b" ,2020-08-31,split,4", "it names no symbol"),
        (b"ABC,31.08.2020,split,4", "'31.08.2020' is not a date; write yyyy-mm-dd"),
        (b"ABC,20200831,split,4", "'20200831' is not a date; write yyyy-mm-dd"),
        (b"ABC,2020-02-30,split,4", "'2020-02-30' is not a date; write yyyy-mm-dd"),
        ("ABC,\u0662020-08-31,split,4".encode(), "'\u0662020-08-31' is not a date; write yyyy-mm-dd"),
        (b"ABC,,split,4", "'' is not a date; write yyyy-mm-dd"),
        (b"ABC,2020-08-31,merger,4", "'merger' is neither split nor cash"),
        (b"ABC,2020-08-31,Split,4", "'Split' is neither split nor cash"),
        (b"ABC,2020-08-31,split,", f"'' {NUMBER}"),
        (b"ABC,2020-08-31,split,0", f"'0' {NUMBER}"),
        (b"ABC,2020-08-31,split,4:0", f"'0' {NUMBER}"),
        (b"ABC,2020-08-31,split,4:", f"'' {NUMBER}"),
        (b"ABC,2020-08-31,split,4:1:1", f"'1:1' {NUMBER}"),
        (b"ABC,2020-08-31,split,4/1", f"'4/1' {NUMBER}"),
        (b"ABC,2020-08-31,cash,-1", f"'-1' {NUMBER}"),
        (b"ABC,2020-08-31,cash,4:1", f"'4:1' {NUMBER}"),
        (b"ABC,2020-08-31,cash,1e3", f"'1e3' {NUMBER}"),
        (b"ABC,2020-08-31,cash,NaN", f"'NaN' {NUMBER}"),
        (b"ABC,2020-08-31,cash,.5", f"'.5' {NUMBER}"),
        (b"ABC,2020-08-31,cash,1.0000001", f"'1.0000001' {NUMBER}"),
        (b"ABC,2020-08-31,cash," + b"9" * 500, f"'{'9' * 60}...' {NUMBER}"),
        ("ABC,2020-08-31,cash,\u0661".encode(), f"'\u0661' {NUMBER}"),
        (b'"ABC",2020-08-31,split,4', "it contains a quotation mark; write the fields without"),
        (b"A\0C,2020-08-31,split,4", "it contains a NUL"),
        (b"A\xffC,2020-08-31,split,4", "it is not UTF-8"),
        ("ABC,2020-08-31,split,4".encode("utf-16"), "it is not UTF-8"),
        (b"A" * 1001, "it has more than 1,000 bytes"),
        ("ABC,2020-08-31,\u202esplit,4".encode(), "'\\u202esplit' is neither split nor cash"),
        (b"symbol,ex_date,kind,ratio or amount", "'ex_date' is not a date; write yyyy-mm-dd"),
    ],
)
def test_a_bad_line_is_named_and_the_others_count(line: bytes, reason: str) -> None:
    found = of_monday(b"IBM,2020-08-31,cash,1\n" + line + b"\nXYZ,2020-08-31,cash,2\n")

    assert found.symbols == ["IBM", "XYZ"]
    assert list(found.refused) == [f"{FILE}, line 2: {reason}; it is left out"]


@pytest.mark.parametrize(
    "content",
    [
        b"ABC,2020-08-31,split,4",
        b"ABC,2020-08-31,split,4:1\n",
        b"\n\n  ABC , 2020-08-31 , split , 4 : 1 \r\n \r\n",
        b"symbol,ex_date,kind,value\nABC,2020-08-31,split,4.000000",
        b"\xef\xbb\xbfSymbol,Ex_Date,Kind,ratio or amount\r\nABC,2020-08-31,split,8:2\r\n",
    ],
)
def test_a_split_may_be_written_in_several_ways(content: bytes) -> None:
    found = of_monday(content)

    assert (found.refused, found.version) == ([], of_monday("ABC,2020-08-31,split,4").version)
    assert price_of(content.decode("utf-8-sig"), "100") == "25"


def test_a_line_that_says_the_same_again_is_named() -> None:
    found = of_monday("ABC,2020-08-31,split,4\nABC,2020-08-31,split,2\nABC,2020-08-31,split,4:1\n")

    assert list(found.refused) == [f"{FILE}, line 3: it repeats line 1; it is left out"]
    assert len(found.of) == 2


@pytest.mark.parametrize(
    ("content", "close", "price"),
    [
        ("ABC,2020-08-31,split,4", "100", "25"),
        ("ABC,2020-08-31,split,1:10", "0.5", "5"),
        ("ABC,2020-08-31,split,3:2", "100", "66.666667"),
        ("ABC,2020-08-31,split,2", "0.000001", "0.000001"),  # half a millionth goes up
        ("ABC,2020-08-31,split,1.046129", "10", "9.559051"),
        ("ABC,2020-08-31,cash,0.82", "100", "99.18"),
        ("XYZ,2020-08-31,split,4\nABC,2020-08-31,split,1", "100", "100"),
        # Of one day, splits come first: the cash is that of a new share.
        ("ABC,2020-08-31,cash,1\nABC,2020-08-31,split,4", "100", "24"),
        # But the cash of Saturday was that of an old one.
        ("ABC,2020-08-31,split,4\nABC,2020-08-29,cash,2", "100", "24.5"),
        # Rounded once, at the end: a third, three times.
        ("ABC,2020-08-31,split,3\nABC,2020-08-30,split,1:3", "100", "100"),
        ("ABC,2020-08-31,cash,1\nABC,2020-08-31,cash,2", "100", "97"),
    ],
)
def test_a_close_is_adjusted(content: str, close: str, price: str) -> None:
    assert price_of(content, close) == f"{Decimal(price).normalize():f}"


def test_an_action_counts_on_every_exchange_and_for_its_symbol_only() -> None:
    found = adjusted("ABC,2020-08-31,split,4", ("ABC", "NYSE", "100"), ("ABC", "NASDAQ", "99"), ("XYZ", "NYSE", "5"))

    assert found == Adjusted(
        {("ABC", "NASDAQ"): Decimal("24.75"), ("ABC", "NYSE"): Decimal(25)},
        ["ABC on NASDAQ: 99, adjusted 24.750000", "ABC on NYSE: 100, adjusted 25.000000"],
        [],
    )


@pytest.mark.parametrize(
    ("line", "close", "what"),
    [
        ("ABC,2020-08-31,cash,100", "100", "cash 100"),
        ("ABC,2020-08-31,cash,100.5", "100", "cash 100.5"),
        ("ABC,2020-08-31,split,2000001:1", "1", "split 2000001:1"),
        ("ABC,2020-08-31,split,1:2", "999999999999", "split 1:2"),
        ("ABC,2020-08-31,split,999999999999.999999:0.000001", "1000", "split 999999999999.999999:0.000001"),
    ],
)
def test_an_action_that_leaves_no_price_is_named_and_the_others_count(line: str, close: str, what: str) -> None:
    found = adjusted(f"ABC,2020-08-30,cash,0.25\n{line}\n", ("ABC", "NYSE", close))

    assert found.closes == {("ABC", "NYSE"): Decimal(close) - Decimal("0.25")}
    assert found.refused == [
        f"{FILE}, line 2: {what} of ABC on 2020-08-31 leaves no price of the close {close} on NYSE; it is left out"
    ]


def test_the_actions_since_the_trading_day_before_concern_a_day(storage: Storage) -> None:
    lines = ("F,2020-08-28", "SA,2020-08-29", "SU,2020-08-30", "M,2020-08-31", "T,2020-09-01")
    storage.write(FILE, "".join(f"{line},cash,1\n" for line in lines).encode())
    actions = CorporateActions(storage.root)

    assert actions.of(MONDAY, FRIDAY).symbols == ["M", "SA", "SU"]
    assert actions.of(TUESDAY, MONDAY).symbols == ["T"]
    assert actions.of(MONDAY, None) == NO_ACTIONS


def test_without_the_file_there_are_no_actions(storage: Storage) -> None:
    actions = CorporateActions(storage.root)

    assert (actions.of(MONDAY, FRIDAY), actions.state()) == (NO_ACTIONS, "")
    assert (NO_ACTIONS.as_input(), NO_ACTIONS.facts(Adjusted())) == ({}, {})


def test_the_state_of_the_file_changes_when_it_is_written_again(storage: Storage) -> None:
    storage.write(FILE, b"ABC,2020-08-31,split,4\n")
    before = CorporateActions(storage.root).state()
    assert CorporateActions(storage.root).state() == before

    storage.write(FILE, b"ABC,2020-08-31,split,41\n")
    assert CorporateActions(storage.root).state() not in ("", before)


def test_another_file_of_that_name_is_refused_by_its_size(local_storage: Storage) -> None:
    local_storage.write(FILE, b"\n" * 10_000_001)

    with pytest.raises(ActionsFileError, match=r"reference/corporate_actions.csv has 10,000,001 bytes, and at most "):
        CorporateActions(local_storage.root).of(MONDAY, FRIDAY)
    with pytest.raises(StorageError):
        CorporateActions("gs://bucket").of(MONDAY, FRIDAY)


def test_a_link_out_of_the_raw_folder_is_not_followed(local_storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("ABC,2020-08-31,split,4\n")
    link = Path(local_storage.uri(FILE))
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "secrets")

    with pytest.raises(ActionsFileError, match=r"reference/corporate_actions.csv leads out of the raw folder by a li"):
        CorporateActions(local_storage.root).of(MONDAY, FRIDAY)


def test_the_version_is_that_of_the_actions_of_the_day_alone() -> None:
    one = of_monday("ABC,2020-08-31,split,4\nXYZ,2020-08-31,cash,1\nnonsense\n")
    other = of_monday("symbol,ex_date,kind,value\nXYZ,2020-08-31,cash,1.00\nABC,2020-08-31,split,8:2\n")
    assert one.version == other.version

    for changed in (
        "ABD,2020-08-31,split,4",
        "ABC,2020-08-30,split,4",
        "ABC,2020-08-31,cash,4",
        "ABC,2020-08-31,split,5",
    ):
        assert of_monday(f"{changed}\nXYZ,2020-08-31,cash,1\n").version != one.version


def test_the_manifest_names_the_first_of_many_refused_lines() -> None:
    actions = of_monday("nonsense\n" * 30 + "ABC,2020-08-31,cash,100\n")

    facts = actions.facts(actions.adjusted([("ABC", "NYSE", Decimal(1))]))

    assert facts["adjusted_closes"] == ["ABC on NYSE: 1, adjusted 1.000000"]
    *named, lines, action = facts["refused_corporate_actions"]
    assert [sentence.split(": ")[0] for sentence in named] == [f"{FILE}, line {number}" for number in range(1, 21)]
    assert lines == f"{FILE}: 10 more lines left out"
    assert action == (
        f"{FILE}, line 31: cash 100 of ABC on 2020-08-31 leaves no price of the close 1 on NYSE; it is left out"
    )


PARTS = st.sampled_from([*'ABC,,,-:."0123456789 \r\0é', "split", "cash", "2020-08-31"])
LINES = st.lists(st.lists(PARTS).map("".join))


@given(st.one_of(st.binary(), LINES.map("\n".join).map(str.encode)))
@example(b"A\n" * 21 + b"\xff\n")
def test_whatever_a_file_holds_each_line_is_an_action_or_named_or_counted_or_empty(content: bytes) -> None:
    actions, refused = parsed(content)

    named = [int(found[1]) for sentence in refused if (found := re.match(rf"{FILE}, line (\d+): ", sentence))]
    more = [int(found[1]) for sentence in refused if (found := re.match(rf"{FILE}: (\d+) more lines? ", sentence))]
    assert len(named) + len(more) == len(refused)
    numbers = [*(action.line for action in actions), *named]
    assert len(set(numbers)) == len(numbers)
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    others = {*range(1, len(lines) + 1)} - {*numbers}
    assert sum(bool(lines[number - 1].decode(errors="replace").strip()) for number in others) == sum(more)
    for sentence in refused:
        assert sentence.isprintable()
    closes = Actions(actions).adjusted([("A", "NYSE", GREATEST), ("A", "NASDAQ", Decimal("0.000001"))]).closes
    assert all(0 < close <= GREATEST for close in closes.values())
