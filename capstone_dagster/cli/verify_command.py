"""Proves published days: ``capstone verify``."""

import json
import sys
from typing import Any

import click

from capstone_dagster.cli.lake_commands import TableName
from capstone_dagster.cli.text_table import coloured
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import trading_days
from capstone_dagster.wording import say
from spark_code.lake import Lake
from spark_code.schemas import TABLES, Table
from spark_code.verification import Proof, prove
from spark_code.wording import counted

_LONGEST = max(map(len, TABLES))


@click.command()
@click.argument("span", metavar="DATE|FROM..TO")
@click.option("--table", "tables", multiple=True, type=TableName(), help="Only this table; may be given several times.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per day and table.")
def verify(span: str, tables: tuple[Table, ...], as_json: bool) -> None:
    """Read published days again, and prove that they are what was published; exits with 1 unless all are.

    Of every table: that its pointer names a version of it, that the files of the version are there and whole and no
    others are among them, and that the rows have the digest that was made when they were written, and a unique key.
    """
    settings = Settings.from_environment()
    calendar, lake = trading_days(settings.first_trading_day), Lake(settings.lake_uri)
    are_proven = []
    for day in calendar.parse(span):
        for table in tables or TABLES.values():
            proof = prove(lake, table, day, calendar.previous(day))
            are_proven.append(proof.is_proven)
            if as_json:
                click.echo(json.dumps(_facts(proof)))
            else:
                _print(proof)
    if not as_json:
        say(f"{sum(are_proven)} of {counted(len(are_proven), 'table')} proven")
    sys.exit(0 if all(are_proven) else 1)


def _word(proof: Proof) -> str:
    return "proven" if proof.is_proven else "damaged" if proof.is_published else "missing"


def _facts(proof: Proof) -> dict[str, Any]:
    return {
        "trade_dt": f"{proof.day}",
        "table": proof.table.path,
        "word": _word(proof),
        "version": proof.manifest and proof.manifest.version,
        "rows": proof.manifest and proof.manifest.rows,
        "problems": proof.problems,
        "warnings": proof.warnings,
        "remedy": proof.remedy,
    }


def _print(proof: Proof) -> None:
    rows = ""
    if proof.manifest:
        rows = f"  {counted(proof.manifest.rows, 'row')} in {counted(len(proof.manifest.paths), 'file')}"
    remedy = [proof.remedy] if proof.remedy else []
    warnings = [f"warning: {warning}" for warning in proof.warnings]
    below = "".join(f"\n    {sentence}" for sentence in (*proof.problems, *warnings, *remedy))
    click.echo(f"{proof.day}  {proof.table.path:<{_LONGEST}}  {coloured(_word(proof), 7)}", nl=False)
    say(f"{rows}{below}")
