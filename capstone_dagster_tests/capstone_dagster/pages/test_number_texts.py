"""Numbers as people read them."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from capstone_dagster.pages.charts import classes
from capstone_dagster.pages.number_texts import against, bps, clock, compact, price, signed, whole


@pytest.mark.parametrize(
    ("text_of", "value", "text"),
    [
        (whole, 1234567, "1,234,567"),
        (whole, None, "–"),  # noqa: RUF001
        (price, Decimal("12.5"), "12.50"),
        (price, Decimal("1234.567800"), "1,234.5678"),
        (price, Decimal("0.000001"), "0.000001"),
        (compact, 999_999, "999,999"),
        (compact, 1_234_567, "1.23 m"),
        (compact, 12_345_678_901, "12.35 bn"),
        (signed, Decimal("5.4"), "+5.40"),
        (signed, Decimal("-0.5"), "−0.50"),  # noqa: RUF001
        (signed, Decimal("-0.001"), "0.00"),
        (bps, 3.14159, "3.1"),
        (clock, 575, "9:35"),
    ],
)
def test_a_number_is_written(text_of: Callable[[Any], str], value: Any, text: str) -> None:
    assert text_of(value) == text


def test_a_change_needs_something_to_compare_with() -> None:
    assert [against(150, 100), against(50, 100), against(1, 0), against(None, 5)] == [
        *("+50.0 %", "−50.0 %", "–", "–"),  # noqa: RUF001
    ]


@pytest.mark.parametrize(
    ("percents", "step", "counts"),
    [
        ([], 0.1, {}),
        ([0.0], 0.1, {}),
        ([-0.05, 0.05, 0.05], 0.1, {-1: 1, 0: 2}),
        ([-1.5, 3.0, 3.9], 1.0, {-2: 1, 3: 2}),
        ([1.0] * 20 + [-99.0, 99.0], 0.5, {-5: 1, 2: 20, 4: 1}),
    ],
)
def test_changes_are_counted_in_classes_around_zero(percents: list[float], step: float, counts: dict[int, int]) -> None:
    width, found = classes(percents)
    assert (width, {number: count for number, count in found.items() if count}) == (step, counts)
    assert len(found) == 10
