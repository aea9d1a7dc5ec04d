"""Every CAPSTONE_* variable: read, validated and explained in this one place.

A variable is looked up in the environment, then in the checkout's ``.env``. AWS_* variables are
left to the AWS libraries. ``.env.example`` lists all of them; a test keeps the two together.
"""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Literal, Self, TypeVar, get_args
from urllib.parse import urlsplit

from dotenv import dotenv_values

from capstone_dagster.errors import ExpectedError
from capstone_dagster.trading_days import EARLIEST_FIRST_DAY, LATEST_FIRST_DAY
from spark_code.storage import StorageError, location

Deployment = Literal["local"]
_T = TypeVar("_T")
_PATHS = ("CAPSTONE_HOME", "CAPSTONE_RAW_URI", "CAPSTONE_LAKE_URI")

CHECKOUT = Path(__file__).resolve().parents[1]
_DEFAULT_HOME = CHECKOUT / ".capstone"


class SettingsError(ExpectedError):
    """A variable with a value that cannot be used; names it and says what it takes."""


@dataclass(frozen=True)
class Settings:
    """The validated settings. Each field is the variable CAPSTONE_<FIELD NAME>."""

    deployment: Deployment
    home: Path
    raw_uri: str
    lake_uri: str
    postgres_url: str | None
    first_trading_day: date
    driver_memory: str
    max_reject_ratio: float

    @classmethod
    def variables(cls) -> list[str]:
        """The names of all variables."""
        return [_variable(setting.name) for setting in fields(cls)]

    @classmethod
    def from_environment(cls) -> Self:
        """Read the process environment and the checkout's ``.env``; the environment wins."""
        for name, value in dotenv_values(CHECKOUT / ".env").items():
            given = value or ""
            if name in _PATHS and given and "://" not in given:
                # Paths in .env start where it lies, whatever the current folder is.
                given = str(CHECKOUT / Path(given).expanduser())
            os.environ.setdefault(name, given)
        return cls.from_mapping(os.environ)

    @classmethod
    def from_mapping(cls, environment: Mapping[str, str]) -> Self:
        """Validate the variables of a mapping; an empty value counts as none."""

        def read(name: str, parse: Callable[[str], _T], default: _T) -> _T:
            value = environment.get(_variable(name), "").strip()
            if not value:
                return default
            try:
                return parse(value)
            except (ValueError, StorageError) as error:
                shown = "the given value" if "url" in name else repr(value)
                raise SettingsError(f"{_variable(name)}: {shown} cannot be used: {error}") from None

        home = read("home", _folder, _DEFAULT_HOME)
        return cls(
            deployment=read("deployment", _deployment, "local"),
            home=home,
            raw_uri=read("raw_uri", location, str(home / "raw")),
            lake_uri=read("lake_uri", location, str(home / "lake")),
            postgres_url=read("postgres_url", _postgres_url, None),
            first_trading_day=read("first_trading_day", _first_trading_day, date(2020, 8, 5)),
            driver_memory=read("driver_memory", _memory, "4g"),
            max_reject_ratio=read("max_reject_ratio", _ratio, 0.05),
        )

    def as_environment(self) -> dict[str, str]:
        """The variables that give these settings, for a process that reads no defaults."""
        given = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        return {_variable(name): str(value) for name, value in given.items() if value is not None}

    @property
    def log_dir(self) -> Path:
        """Where Spark writes its log."""
        return self.home / "logs"


def require_folders_for_local_spark(settings: Settings) -> None:
    """Spark in this process has no S3 client; listing and publishing on S3 need none."""
    for name, uri in (("raw_uri", settings.raw_uri), ("lake_uri", settings.lake_uri)):
        if settings.deployment == "local" and uri.startswith("s3://"):
            raise SettingsError(f"{_variable(name)}: Spark on this machine reads and writes folders, not {uri}")


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """One sentence for every CAPSTONE_* variable that is none of the settings: it is probably misspelt."""
    known = Settings.variables()
    sentences = []
    for name in sorted(name for name in environment if name.startswith("CAPSTONE_") and name not in known):
        alike = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {alike[0]}?" if alike else ""
        sentences.append(f"{name} is no setting of this platform{hint}")
    return sentences


def _variable(name: str) -> str:
    return f"CAPSTONE_{name.upper()}"


def _deployment(value: str) -> Deployment:
    for known in get_args(Deployment):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise ValueError(f"must be one of {', '.join(get_args(Deployment))}")


def _folder(value: str) -> Path:
    return Path(location(str(Path(value).expanduser())))


def _postgres_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_usable = parts.scheme in ("postgresql", "postgres") and parts.path.strip("/") and parts.port != 0
    except ValueError:  # its text would show the password
        is_usable = False
    if not is_usable:
        raise ValueError("must look like postgresql://user:password@host:5432/database") from None
    # The short scheme is common, and SQLAlchemy does not know it.
    return "postgresql" + value[value.index(":") :]


def _first_trading_day(value: str) -> date:
    # fromisoformat takes 20200805 too, which would not look like the partition it names.
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        raise ValueError("must be a date like 2020-08-05")
    day = date.fromisoformat(value)
    if not EARLIEST_FIRST_DAY <= day <= LATEST_FIRST_DAY:
        raise ValueError(f"must be from {EARLIEST_FIRST_DAY} to {LATEST_FIRST_DAY}")
    return day


def _memory(value: str) -> str:
    if not re.fullmatch(r"[1-9]\d*[mg]", value):
        raise ValueError("must be a size for Spark like 4g or 1500m")
    return value


def _ratio(value: str) -> float:
    if not re.fullmatch(r"0|1|0?\.\d+|[01]\.0*", value):
        raise ValueError("must be a share between 0 and 1")
    return float(value)
