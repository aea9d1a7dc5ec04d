"""The command line of the benchmarks: which subjects there are, and what is printed of them.

Being slow is no error: the exit code is 0 whatever the times are.
"""

import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from benchmarks import backfill, emr, new_files, run_storage
from benchmarks.timing import Findings

SUBJECTS: Mapping[str, Callable[[], Findings]] = {
    "run_storage": run_storage.measure,
    "emr": emr.measure,
    "backfill": backfill.measure,
    "new_files": new_files.measure,
}


@click.command()
@click.argument("subject", required=False, type=click.Choice(list(SUBJECTS)))
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write them to a file.")
def main(subject: str | None, json_file: Path | None) -> None:
    """Measure SUBJECT, or every subject, and compare with the targets."""
    measured: dict[str, object] = {}
    for name in [subject] if subject else SUBJECTS:
        findings = SUBJECTS[name]()
        click.echo(f"\n{name}: {findings.given}\n\n{findings.as_text()}")
        measured[name] = findings.as_json()
    if json_file:
        machine = {"system": platform.platform(), "python": platform.python_version()}
        json_file.write_text(json.dumps({"machine": machine, "subjects": measured}, indent=2) + "\n")


if __name__ == "__main__":
    main()
