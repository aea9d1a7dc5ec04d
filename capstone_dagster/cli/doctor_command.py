"""Looks for what is wrong with an installation: ``capstone doctor``."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict

import click

from capstone_dagster.cli import checkups, checkups_of_stores
from capstone_dagster.cli.checkups import Finding
from capstone_dagster.cli.prerequisites import MissingPrerequisite
from capstone_dagster.cli.setting_doubts import doubts
from capstone_dagster.cli.text_table import coloured
from capstone_dagster.settings import Settings, SettingsError, given_variables
from capstone_dagster.wording import say
from spark_code.errors import ExpectedError
from spark_code.locations import shown
from spark_code.wording import counted

_CHECKS: Mapping[str, Callable[[Settings], Finding]] = {
    "Python, Java": checkups.python_and_java,
    "packages": checkups.packages,
    "jars for S3": checkups.jars,
    "calendar": checkups.calendar,
    "memory": checkups.memory,
    "disk": checkups.disk,
    "leftovers": checkups.leftovers,
    "port of the UI": checkups.port,
    "run storage": checkups_of_stores.database,
    "warehouse": checkups_of_stores.warehouse,
    "raw files": checkups_of_stores.raw_files,
    "lake": checkups_of_stores.lake,
}
_LONGEST = max(map(len, _CHECKS))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per check.")
def doctor(as_json: bool) -> None:
    """Check the settings, this machine, the databases, the raw folder and the lake; exits with 1 if something is wrong.

    Each check is judged on its own, also if others fail. In the lake one object is written, replaced and deleted.
    """
    settings, found = _settings()
    findings = [("settings", found)]
    _print(*findings[0], as_json=as_json)
    for name, check in _CHECKS.items():
        findings.append((name, _judged(check, settings)))
        _print(*findings[-1], as_json=as_json)
    numbers = {verdict: sum(each.verdict == verdict for _, each in findings) for verdict in ("wrong", "warning")}
    if not as_json:
        say(f"{counted(len(findings), 'check')}: {numbers['wrong']} wrong, {counted(numbers['warning'], 'warning')}")
    sys.exit(1 if numbers["wrong"] else 0)


def _settings() -> tuple[Settings, Finding]:
    """The settings, without those that cannot be used, so that the rest can be judged."""
    given, wrong = dict(given_variables()), []
    while True:
        try:
            settings = Settings.from_mapping({name: value or "" for name, value in given.items()})
            break
        except SettingsError as error:
            wrong.append(f"{error}")
            named = [name for name in re.findall(r"CAPSTONE_[A-Z_]+[A-Z]", f"{error}") if given.get(name)]
            # What must be set, and is not, is needed for EMR alone.
            for name in named or (["CAPSTONE_DEPLOYMENT"] if given.get("CAPSTONE_DEPLOYMENT") else list(given)):
                given.pop(name, None)
    if wrong:
        return settings, Finding(
            "wrong", "; ".join(wrong), "fix the environment or .env; the other checks ignore these settings"
        )
    if doubted := list(doubts(given_variables(), "run")):
        return settings, Finding("warning", "; ".join(doubted))
    return settings, Finding("ok", f"{counted(sum(map(bool, map(given.get, Settings.variables()))), 'variable')} set")


def _judged(check: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return check(settings)
    except (ExpectedError, MissingPrerequisite) as error:
        return Finding("wrong", f"{error}")
    except Exception as error:  # noqa: BLE001 - whatever fails in one check, the others are judged
        return Finding("wrong", f"it cannot be checked: {type(error).__name__}: {shown(str(error))}")


def _print(name: str, finding: Finding, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"check": name, **asdict(finding)}))
        return
    remedy = f"\n{'':<{_LONGEST + 11}}{finding.remedy}" if finding.remedy else ""
    click.echo(f"{name:<{_LONGEST}}  {coloured(finding.verdict, 7)}  ", nl=False)
    say(f"{finding.found}{remedy}")
