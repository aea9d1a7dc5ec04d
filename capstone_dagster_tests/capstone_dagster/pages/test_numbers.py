"""The numbers of a day's page, where they are out of the ordinary."""

from datetime import date, datetime

import pyarrow as pa

from capstone_dagster.pages.charts import Hours
from capstone_dagster.pages.numbers import _BARS_DRAWN, _SUMMARY, _Day
from capstone_dagster.pages.picture import picture
from capstone_dagster.readers.rows import arrow_schema
from spark_code.schemas import BARS, DAILY_SUMMARY

DAY = date(2020, 8, 6)


def test_a_volume_that_is_too_large_for_its_type_counts_as_none() -> None:
    known = {"symbol": "SYMA", "exchange": "NYSE", "volume": None, "trade_count": 2, "quote_count": 0}
    day = _Day(pa.Table.from_pylist([known], arrow_schema(DAILY_SUMMARY, _SUMMARY)))
    bar = {"trade_dt": DAY, "bar_tm": datetime(2020, 8, 6, 10, 0), **known}
    day.add("bars", pa.Table.from_pylist([bar], arrow_schema(BARS, _BARS_DRAWN)))

    [moment] = day.by_time()

    assert (moment.minute, moment.shares, moment.trades) == (600, 0, 2)
    assert picture([moment], Hours.of([moment], 960))
