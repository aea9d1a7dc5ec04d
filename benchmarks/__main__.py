"""The command line of the benchmarks: which subjects there are, and what is printed of them.

Being slow is no error: the exit code is 0 whatever the times are.
"""

import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks import backfill, emr, new_files, run_storage
from benchmarks.day import subject as day
from benchmarks.timing import Findings

SUBJECTS: Mapping[str, Callable[[], Findings]] = {
    "run_storage": run_storage.measure,
    "emr": emr.measure,
    "backfill": backfill.measure,
    "new_files": new_files.measure,
    "day": day.measure,
}

_json = click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write them to a file."
)


@click.group(invoke_without_command=True)
@_json
@click.pass_context
def main(context: click.Context, json_file: Path | None) -> None:
    """Measure SUBJECT, or every subject, and compare with the targets."""
    if context.invoked_subcommand is None:
        _measure(SUBJECTS, json_file)


def _command(name: str) -> click.Command:
    @click.command(name, help=f"Measure {name}, and compare with the targets.")
    @_json
    def command(json_file: Path | None) -> None:
        _measure({name: SUBJECTS[name]}, json_file)

    return command


@main.command("day", help="Measure whole trading days, beside other ways to make the same tables.")
@click.option("--events", type=click.IntRange(1_000), default=100_000, show_default=True, help="Of each day.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="How many days count.")
@click.option(
    "--beside",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another checkout with its own .venv: run its code too, and compare times and rows.",
)
@click.option("--skewed", is_flag=True, help="Also days in which one symbol has half of all quotes.")
@click.option("--files", type=click.IntRange(1), default=1, show_default=True, help="Of each exchange.")
@click.option("--demo", is_flag=True, help="Also the demo, of both checkouts.")
@click.option("--only", multiple=True, type=click.Choice(day.CONTESTANTS), help="Not all contestants.")
@click.option("--way", "ways", multiple=True, type=click.Choice(["warm", "cold"]), default=["warm", "cold"])
@click.option("--curve", callback=lambda *given: _sizes(given[-1]), help="Days of so many million events: 0.1,1,4,40.")
@_json
def _day(json_file: Path | None, **options: Any) -> None:
    _measure({"day": lambda: day.measure(day.DayOptions(**options))}, json_file)


def _sizes(text: str | None) -> list[float]:
    try:
        return [float(size) for size in text.split(",")] if text else []
    except ValueError:
        raise click.BadParameter(f"numbers with commas between, not {text}") from None


for _name in set(SUBJECTS) - set(main.commands):
    main.add_command(_command(_name))


def _measure(subjects: Mapping[str, Callable[[], Findings]], json_file: Path | None) -> None:
    measured: dict[str, object] = {}
    for name, measure in subjects.items():
        findings = measure()
        click.echo(f"\n{name}: {findings.given}\n\n{findings.as_text()}")
        measured[name] = findings.as_json()
    if json_file:
        machine = {"system": platform.platform(), "python": platform.python_version()}
        json_file.write_text(json.dumps({"machine": machine, "subjects": measured}, indent=2) + "\n")


if __name__ == "__main__":
    main()
