"""Every CAPSTONE_* variable, with those of ``emr_settings``: read, validated and explained in this one place.

A variable is looked up in the environment, then in the checkout's ``.env``, then in the home's ``settings.env``, which
``make demo`` writes. AWS_* variables are left to the AWS libraries. ``.env.example`` lists all of them; a test keeps
the two together.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dotenv import dotenv_values
from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from capstone_dagster import setting_values as values
from capstone_dagster.deliveries.preconditions import Preconditions
from capstone_dagster.emr_settings import EmrSettings
from capstone_dagster.setting_values import as_text
from spark_code.errors import ExpectedError
from spark_code.manifest import KEPT

if TYPE_CHECKING:
    from spark_code.quality_limits import Limits

_PATHS = ("CAPSTONE_HOME", "CAPSTONE_RAW_URI", "CAPSTONE_LAKE_URI", "CAPSTONE_UI_USERS")

CHECKOUT = Path(__file__).resolve().parents[1]
HOME_FILE = "settings.env"

# CAPSTON, CAPSTOEN and CAPSTONES are more alike to CAPSTONE than this, KEYSTONE and CORNERSTONE are less.
_ALIKE = 0.85


class SettingsError(ExpectedError):
    """A variable with a value that cannot be used; names it and says what it takes."""


# What has no repr is a secret: a URL may hold a password.
class Settings(
    values.Variables,
    frozen=True,
    alias_generator=lambda name: f"CAPSTONE_{name.upper()}",
):
    """The validated settings. Each field is the variable CAPSTONE_<FIELD NAME>."""

    deployment: values.Deployment = "local"
    home: values.Folder = CHECKOUT / ".capstone"
    raw_uri: values.Place = Field(default_factory=lambda given: f"{given['home'] / 'raw'}")
    lake_uri: values.Place = Field(default_factory=lambda given: f"{given['home'] / 'lake'}")
    postgres_url: values.PostgresUrl | None = Field(None, repr=False)
    warehouse: values.YesOrNo = True
    """Whether days of the report are loaded into Postgres, too."""
    warehouse_url: values.PostgresUrl | None = Field(None, repr=False)
    """None: the database of the run storage."""
    warehouse_quotes: values.YesOrNo = False
    first_trading_day: values.FirstDay = date(2020, 8, 5)
    driver_memory: values.Memory = "4g"
    max_reject_ratio: values.Ratio = 0.05
    quality_limits: values.QualityLimits = ""
    max_retries: values.Retries = 3
    glue_database: values.GlueDatabase | None = None
    keep_versions: values.Versions = KEPT
    """How many versions of a published day stay, with the one that counts."""
    automation: values.YesOrNo = True
    """Whether sensors and schedules begin switched on."""
    watch_days: values.Days = 250
    quiet_seconds: values.NotNegative = 60.0
    sensor_seconds: values.Positive = 30.0
    schedule_time: values.AfterTheClose = time(19)
    late_time: values.AfterTheClose = time(20)
    backfill_days: values.Days | None = None
    """None: all days of a range in one run."""
    ui_url: values.WebAddress = "http://127.0.0.1:3000"
    pages_url: values.WebAddress | None = None
    """Where the lake is served, for links to the pages of the report; None: as files."""
    ui_hosts: values.HostNames = ()
    """Further names under which people open the UI."""
    ui_users: values.File | None = None
    """The file of those who may sign in; None and no proxy: everybody who reaches the UI may use it."""
    ui_session_hours: values.SessionHours = 12.0
    ui_proxy: values.Networks = ()
    """Proxies that sign people in, and the headers in which they say whom and with which role."""
    ui_proxy_headers: values.TwoHeaders = ("X-Forwarded-User", "X-Forwarded-Groups")
    owners: values.Owners = ()
    """Who looks after the assets, as the UI shows it."""
    code_url: values.WebAddress | None = None
    """Where people read the code of this release; None: in the files of this checkout."""
    alert_urls: values.AlertUrls = Field((), repr=False)
    alert_topic: values.Topic | None = None
    preconditions: values.Conditions = Field(Preconditions(), repr=False)
    precondition_commands: values.YesOrNo = False
    emr: EmrSettings | None = None
    """Only where the Spark steps run there."""
    lease_minutes: values.Positive = 30.0
    """How long work done outside Dagster counts as going on without being heard of."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for name, uri in (("RAW", self.raw_uri), ("LAKE", self.lake_uri)):
            if self.deployment == "emr" and not uri.startswith("s3://"):
                raise ValueError(f"CAPSTONE_{name}_URI: a cluster reads and writes s3://bucket/prefix, not {uri}")
        if self.glue_database and not self.lake_uri.startswith("s3://"):
            raise ValueError("CAPSTONE_GLUE_DATABASE: the catalog is for a lake on S3; set CAPSTONE_LAKE_URI to one")
        if self.preconditions.has_commands and not self.precondition_commands:
            raise ValueError(
                "CAPSTONE_PRECONDITIONS: its commands would not be run; allow them with "
                "CAPSTONE_PRECONDITION_COMMANDS=true, or take them out"
            )
        return self

    @classmethod
    def variables(cls) -> list[str]:
        """The names of all variables."""
        return list(_fields())

    @classmethod
    def from_environment(cls) -> Self:
        """Read the process environment, the checkout's ``.env`` and the home's file; the first that has one wins."""
        for name, value in variables_of(CHECKOUT / ".env").items():
            os.environ.setdefault(name, value)
        return cls.from_mapping({**_of_home(os.environ), **os.environ})

    @classmethod
    def from_mapping(cls, environment: Mapping[str, str]) -> Self:
        """Validate the variables of a mapping; an empty value counts as none."""
        given = {name: value for name in _fields() if (value := environment.get(name, "").strip())}
        emr = {name: value for name, value in given.items() if name.startswith("CAPSTONE_EMR_")}
        own = {name: value for name, value in given.items() if name not in emr}
        is_used = given.get("CAPSTONE_DEPLOYMENT") == "emr"
        try:
            return cls.model_validate({**own, "CAPSTONE_EMR": emr if is_used else None})
        except ValidationError as error:
            raise SettingsError(_sentence(error, given)) from None

    def as_environment(self) -> dict[str, str]:
        """The variables that give these settings, for a process that reads no defaults."""
        given = dict(self) | {f"emr_{name}": value for name, value in self.emr or ()}
        del given["emr"]
        del given["alert_urls"]  # they hold passwords, and only Dagster's own processes send alerts
        return {
            f"CAPSTONE_{name.upper()}": as_text(value)
            for name, value in given.items()
            if value not in (None, (), {}, "")
        }

    @property
    def limits(self) -> "Limits":
        """The limits of a day's quality."""
        from spark_code.quality_limits import Limits  # noqa: PLC0415 - loads PySpark, for those who judge

        return Limits.parse(self.quality_limits, self.max_reject_ratio)

    @property
    def log_dir(self) -> Path:
        """Where Spark writes its log."""
        return self.home / "logs"

    @property
    def on_s3(self) -> bool:
        """Whether the raw files or the lake are on S3."""
        return any(uri.startswith("s3://") for uri in (self.raw_uri, self.lake_uri))

    @property
    def spark_needs_s3(self) -> bool:
        """Whether the steps' Spark on this machine needs an S3 client; a cluster has its own."""
        return self.deployment == "local" and self.on_s3


def given_variables() -> Mapping[str, str]:
    """The variables of the environment, of the checkout's ``.env`` and of the home's file."""
    above = variables_of(CHECKOUT / ".env") | os.environ
    return {**_of_home(above), **above}


def variables_of(file: Path) -> dict[str, str]:
    """The variables of a file; relative paths start where it lies, whatever the current folder is."""
    given = {name: value or "" for name, value in dotenv_values(file).items()}
    paths = {name: path for name in _PATHS if (path := given.get(name, "").strip()) and "://" not in path}
    return given | {name: f"{file.parent / Path(path).expanduser()}" for name, path in paths.items()}


def _of_home(above: Mapping[str, str]) -> dict[str, str]:
    """The variables of the home's file, which cannot lead to another home."""
    home = Path(above.get("CAPSTONE_HOME", "").strip() or Settings.model_fields["home"].default).expanduser()
    return {name: value for name, value in variables_of(home / HOME_FILE).items() if name != "CAPSTONE_HOME"}


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """One sentence for every variable that looks like CAPSTONE_* and is none of the settings: it is misspelt."""
    known = Settings.variables()
    sentences = []
    for name in sorted(name for name in environment if _looks_like_ours(name) and name not in known):
        alike = difflib.get_close_matches(name.upper(), known, n=1)
        hint = f"; did you mean {alike[0]}?" if alike else ""
        sentences.append(f"{name} is no setting of this platform{hint}")
    return sentences


def _looks_like_ours(name: str) -> bool:
    """Whether its first word is CAPSTONE, give or take a letter."""
    prefix, underscore, _ = name.upper().partition("_")
    return bool(underscore) and difflib.SequenceMatcher(None, prefix, "CAPSTONE").ratio() > _ALIKE


def _fields() -> dict[str, FieldInfo]:
    """The field of each variable."""
    both = {**Settings.model_fields, **{f"emr_{name}": field for name, field in EmrSettings.model_fields.items()}}
    return {f"CAPSTONE_{name.upper()}": field for name, field in both.items() if name != "emr"}


def _sentence(error: ValidationError, given: Mapping[str, str]) -> str:
    """The first thing that is wrong, by the name of its variable; the value of a secret is not shown."""
    first = error.errors()[0]
    reason = first.get("ctx", {}).get("error", first["msg"])
    variable = next((f"{part}" for part in reversed(first["loc"]) if part in _fields()), None)
    if variable is None:  # of several together, which it names
        return f"{reason}"
    field = _fields()[variable]
    if variable not in given:
        return f"{variable} must be set: {field.description}"
    shown = repr(given[variable]) if field.repr else "the given value"
    return f"{variable}: {shown} cannot be used: {reason}"
