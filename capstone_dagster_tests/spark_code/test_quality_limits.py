"""Limits as people write them, and what a measure within or beyond them is called."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from spark_code.quality_limits import DEFAULT_LIMITS, Judged, Limit, Limits, LimitsError, Verdict, judge
from spark_code.quality_measures import MEASURES, Sums
from spark_code.schemas import Reject

BY_NAME = {measure.name: measure for measure in MEASURES}
SUMS = Sums(
    {
        "lines": 1000,
        "rejected": 101,
        **{f"rejected_{reason}": 0 for reason in Reject},
        "rejected_bad_number": 100,
        "rejected_blank": 1,
        "volume": 5_000_000,
        "quotes": 800,
        "crossed": 8,
        "quotes_without_close": 5,
        "vanished_symbols": 2,
        "first_vanished_symbols": "IBM",
        "jump_at_open": ("TSLA", Decimal("400.000000"), Decimal("100.500000")),
        "jump_in_day": None,
    },
    field_names=["venue"],
    has_closes=True,
)
MILLIONS = [4_000_000, 1, 5_000_000, 6_000_000, 9_000_000]


def judged(name: str, limits: str = "", past: tuple[int, ...] = (), sums: Sums = SUMS) -> Judged:
    return judge(BY_NAME[name], sums, Limits.parse(limits).of.get(name), past)


def test_what_is_beyond_its_limit_says_so_in_a_sentence() -> None:
    assert judged("rejected_ratio") == Judged(
        value=Decimal("0.101000"),
        low=None,
        high=Decimal("0.05"),
        stops=False,
        verdict=Verdict.WARN,
        sentence="101 of 1,000 lines rejected (10.1 %), mostly bad_number; expected at most 5 %",
    )


@pytest.mark.parametrize(
    ("name", "limits", "verdict", "says"),
    [
        ("crossed_ratio", "", Verdict.OK, "8 of 800 quotes crossed (bid above ask) (1 %)"),
        (
            "crossed_ratio",
            "crossed_ratio=0.009:error",
            Verdict.ERROR,
            "8 of 800 quotes crossed (bid above ask) (1 %); expected at most 0.9 %",
        ),
        ("rejected_ratio", "rejected_ratio=off", Verdict.OK, "101 of 1,000 lines rejected (10.1 %), mostly bad_number"),
        (
            "crossed",
            "crossed=10..20",
            Verdict.WARN,
            "8 of 800 quotes crossed (bid above ask) (1 %); expected 10 to 20",
        ),
        (
            "vanished_symbols",
            "",
            Verdict.WARN,
            "2 symbols not seen that traded the day before, the first of them IBM; expected at most 0",
        ),
        ("unknown_fields", "", Verdict.WARN, "1 field unknown to the contract: venue; expected at most 0"),
        (
            "jump_at_open",
            "",
            Verdict.WARN,
            "TSLA opens at 100.5 after a close of 400 (74.9 %); expected at most 50 %",
        ),
        ("jump_in_day", "", Verdict.UNKNOWN, "there is no price to compare"),
    ],
)
def test_a_measure_is_judged_by_its_limit(name: str, limits: str, verdict: Verdict, says: str) -> None:
    found = judged(name, limits)

    assert (found.verdict, found.sentence) == (verdict, says)


def test_what_is_usual_is_the_median_of_the_days_before() -> None:
    found = judged("volume", "volume=0.5..0.9", tuple(MILLIONS))

    assert (found.low, found.high, found.verdict) == (
        Decimal("2500000.000000"),
        Decimal("4500000.000000"),
        Verdict.WARN,
    )
    assert found.sentence == (
        "5,000,000 shares traded (the median of 5 days before is 5,000,000); expected 2,500,000 to 4,500,000"
    )


def test_four_days_are_too_few_to_know_what_is_usual() -> None:
    found = judged("volume", past=tuple(MILLIONS[:4]))

    assert (found.value, found.low, found.high, found.verdict) == (Decimal(5_000_000), None, None, Verdict.UNKNOWN)
    assert found.sentence == ("5,000,000 shares traded; what is usual is known from 5 days before on, and there are 4")


def test_absurd_sizes_are_only_numbers() -> None:
    absurd = Sums({**SUMS.of, "volume": 10**27}, ["x" * 70_000], has_closes=True)

    assert judged("volume", "", (10**27,) * 5, absurd).value == Decimal(10**27)
    assert judged("unknown_fields", sums=absurd).sentence == (
        f"1 field unknown to the contract: {'x' * 40}...; expected at most 0"
    )


@pytest.mark.parametrize("name", ["vanished_symbols", "quotes_without_close_ratio", "jump_at_open"])
def test_without_closes_of_the_day_before_nothing_is_known_of_them(name: str) -> None:
    found = judged(name, sums=Sums(SUMS.of, [], has_closes=False))

    assert (found.value, found.verdict) == (None, Verdict.UNKNOWN)
    assert found.sentence == "there are no closes of the day before to compare with"


def test_the_setting_for_rejects_is_a_limit_and_the_text_of_limits_wins() -> None:
    assert Limits.parse("", 0.25).of["rejected_ratio"] == Limit(high=Decimal("0.25"))
    assert Limits.parse("rejected_ratio=0.1", 0.25).of["rejected_ratio"] == Limit(high=Decimal("0.1"))


def test_every_limit_is_of_a_measure() -> None:
    assert DEFAULT_LIMITS.keys() <= BY_NAME.keys()
    assert len(BY_NAME) == len(MEASURES)


@pytest.mark.parametrize(
    "text",
    ["", "x", "2..1", "nan", "inf", "0..inf", "1e13", "1..", "..1", "0.1:stop"],
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(LimitsError, match=r"is no limit; write NAME=0\.05"):
        Limits.parse(f"crossed_ratio={text}")


def test_an_unknown_measure_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(LimitsError, match=r"'croosed' is no measure of a day's quality; they are lines, rejected, "):
        Limits.parse("croosed=1")


def test_the_document_says_the_limits_and_all_measures() -> None:
    document = (Path(__file__).parents[2] / "docs" / "data_flow.md").read_text()
    rows = re.findall(r"^\| (`.+?`) \| (at most|0\.3 to 3 times) ?([\d.]*)", document, re.MULTILINE)
    told = {name: (words, high) for names, words, high in rows for name in re.findall(r"`(\w+)`", names)}

    assert told == {
        name: ("0.3 to 3 times", "") if limit.of_median else ("at most", f"{limit.high}")
        for name, limit in DEFAULT_LIMITS.items()
    }
    counts = {name.removesuffix("_ratio") for name in DEFAULT_LIMITS}
    rest = {name for name in BY_NAME if not name.startswith("rejected_")} - DEFAULT_LIMITS.keys() - counts
    assert rest == {"superseded", "late", "sequence_missing", "symbols", "new_symbols"}
    assert all(f"`{name}`" in document for name in rest)
