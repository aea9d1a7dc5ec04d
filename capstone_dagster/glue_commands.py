"""``capstone glue-sync``: bring the Glue catalog to what is published, for a lake that has days already."""

import click

from capstone_dagster.errors import ExpectedError
from capstone_dagster.plain_text import say
from capstone_dagster.settings import Settings, SettingsError
from capstone_dagster.trading_days import trading_days
from spark_code.glue import GlueCatalog
from spark_code.lake import Lake
from spark_code.schemas import TABLES


class NothingToRegisterError(ExpectedError):
    """None of the days that were asked for is published."""


@click.command("glue-sync")
@click.argument("days", metavar="[DATE|FROM..TO]", required=False)
def glue_sync(days: str | None) -> None:
    """Register what is published in the Glue catalog, for Athena: a day, a range, or all days.

    Publishing does so by itself where CAPSTONE_GLUE_DATABASE is set. This is for days that were published before it
    was, and for those of which publishing says that Glue could not be told.
    """
    settings = Settings.from_environment()
    if settings.glue_database is None:
        raise SettingsError("CAPSTONE_GLUE_DATABASE is not set; name the Glue database to register the tables in")
    wanted = trading_days(settings.first_trading_day).parse(days) if days else None
    lake, catalog = Lake(settings.lake_uri), GlueCatalog(settings.glue_database)
    registered = 0
    for table in TABLES.values():
        published = [day for day in lake.days(table) if wanted is None or day in wanted]
        for day in published:
            catalog.register(lake, table, day)
        if published:
            count = f"{len(published):,} day{'s' if len(published) > 1 else ''}"
            say(f"{catalog.database}.{catalog.table_name(table)}  {count}, the last is {published[-1]}")
        registered += len(published)
    if not registered:
        of_days = f" of {days}" if days else ""
        raise NothingToRegisterError(
            f"nothing{of_days} is published in {settings.lake_uri}; make it with: capstone run {days or 'DATE'}"
        )
