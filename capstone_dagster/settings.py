"""Every CAPSTONE_* variable: read, validated and explained in this one place.

A variable is looked up in the environment, then in the checkout's ``.env``. AWS_* variables are
left to the AWS libraries. ``.env.example`` lists all of them; a test keeps the two together.
"""

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, time
from pathlib import Path
from typing import Any, Self, TypeVar

from dotenv import dotenv_values

from capstone_dagster import setting_values as values
from capstone_dagster.deliveries.preconditions import Preconditions
from capstone_dagster.errors import ExpectedError
from capstone_dagster.setting_values import Deployment, Fleet
from spark_code.locations import StorageError, location

_T = TypeVar("_T")
_SECRET = ("postgres_url", "alert_urls", "preconditions", "emr_spark_conf")
_PATHS = ("CAPSTONE_HOME", "CAPSTONE_RAW_URI", "CAPSTONE_LAKE_URI")

CHECKOUT = Path(__file__).resolve().parents[1]
_DEFAULT_HOME = CHECKOUT / ".capstone"


class SettingsError(ExpectedError):
    """A variable with a value that cannot be used; names it and says what it takes."""


@dataclass(frozen=True)
class EmrSettings:
    """Where and how the Spark steps run on EMR. Each field is the variable CAPSTONE_EMR_<FIELD NAME>."""

    create_cluster: bool
    cluster_id: str | None
    terminate_cluster: bool
    release: str
    master_fleet: Fleet
    core_fleet: Fleet
    task_fleet: Fleet
    subnets: tuple[str, ...]
    service_role: str
    instance_profile: str
    security_configuration: str | None
    bootstrap_uri: str | None
    staging_uri: str
    log_uri: str
    idle_minutes: float
    poll_seconds: float
    start_minutes: float
    step_minutes: float
    patience_minutes: float
    log_seconds: float
    spark_conf: Mapping[str, str]


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
    max_retries: int
    glue_database: str | None
    automation: bool
    """Whether sensors and schedules begin switched on."""
    watch_days: int
    quiet_seconds: float
    sensor_seconds: float
    schedule_time: time
    late_time: time
    backfill_days: int | None
    """None: all days of a range in one run."""
    ui_url: str
    alert_urls: tuple[str, ...] = field(repr=False)
    preconditions: Preconditions
    precondition_commands: bool
    emr: EmrSettings | None
    """Only where the Spark steps run there."""
    lease_minutes: float = 30.0
    """How long work done outside Dagster counts as going on without being heard of."""
    ui_hosts: tuple[str, ...] = ()
    """Further names under which people open the UI."""

    @classmethod
    def variables(cls) -> list[str]:
        """The names of all variables."""
        own = [_variable(setting.name) for setting in fields(cls) if setting.name != "emr"]
        return own + [_variable(f"emr_{setting.name}") for setting in fields(EmrSettings)]

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
        read = _Reader(environment)
        home = read("home", values.folder, _DEFAULT_HOME)
        local: Deployment = "local"
        deployment = read("deployment", values.deployment, local)
        settings = cls(
            deployment=deployment,
            home=home,
            raw_uri=read("raw_uri", location, str(home / "raw")),
            lake_uri=read("lake_uri", location, str(home / "lake")),
            postgres_url=read("postgres_url", values.postgres_url, None),
            first_trading_day=read("first_trading_day", values.first_trading_day, date(2020, 8, 5)),
            driver_memory=read("driver_memory", values.memory, "4g"),
            max_reject_ratio=read("max_reject_ratio", values.ratio, 0.05),
            max_retries=read("max_retries", values.retries, 3),
            glue_database=read("glue_database", values.glue_database, None),
            automation=read("automation", values.yes_or_no, True),
            watch_days=read("watch_days", values.days, 250),
            quiet_seconds=read("quiet_seconds", values.not_negative, 60.0),
            sensor_seconds=read("sensor_seconds", values.positive, 30.0),
            schedule_time=read("schedule_time", values.after_the_close, time(19)),
            late_time=read("late_time", values.after_the_close, time(20)),
            backfill_days=read("backfill_days", values.days, None),
            ui_url=read("ui_url", values.web_address, "http://127.0.0.1:3000"),
            ui_hosts=read("ui_hosts", values.host_names, ()),
            alert_urls=read("alert_urls", values.alert_urls, ()),
            preconditions=read("preconditions", Preconditions.parse, Preconditions()),
            precondition_commands=read("precondition_commands", values.yes_or_no, default=False),
            emr=_emr(read) if deployment == "emr" else None,
            lease_minutes=read("lease_minutes", values.positive, 30.0),
        )
        for name, uri in (("raw_uri", settings.raw_uri), ("lake_uri", settings.lake_uri)):
            if deployment == "emr" and not uri.startswith("s3://"):
                raise SettingsError(f"{_variable(name)}: a cluster reads and writes s3://bucket/prefix, not {uri}")
        if settings.glue_database and not settings.lake_uri.startswith("s3://"):
            raise SettingsError("CAPSTONE_GLUE_DATABASE: the catalog is for a lake on S3; set CAPSTONE_LAKE_URI to one")
        if settings.preconditions.has_commands and not settings.precondition_commands:
            raise SettingsError(
                "CAPSTONE_PRECONDITIONS: its commands would not be run; allow them with "
                "CAPSTONE_PRECONDITION_COMMANDS=true, or take them out"
            )
        return settings

    def as_environment(self) -> dict[str, str]:
        """The variables that give these settings, for a process that reads no defaults."""
        given: dict[str, Any] = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        del given["alert_urls"]  # they hold passwords, and only Dagster's own processes send alerts
        if emr := given.pop("emr"):
            given |= {f"emr_{setting.name}": getattr(emr, setting.name) for setting in fields(emr)}
        return {_variable(name): values.as_text(value) for name, value in given.items() if value not in (None, (), {})}

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


def given_variables() -> Mapping[str, str | None]:
    """The variables of the environment and of the checkout's ``.env``."""
    return {**dotenv_values(CHECKOUT / ".env"), **os.environ}


def unknown_variables(environment: Iterable[str]) -> list[str]:
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


class _Reader:
    """Reads variables of a mapping; what cannot be used is told by the variable's name."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __call__(self, name: str, parse: Callable[[str], _T], default: _T) -> _T:
        value = self._environment.get(_variable(name), "").strip()
        if not value:
            return default
        try:
            return parse(value)
        except (ValueError, StorageError) as error:
            # A URL may hold a password, and so may a setting of Spark that does not belong there.
            shown = "the given value" if name in _SECRET else repr(value)
            raise SettingsError(f"{_variable(name)}: {shown} cannot be used: {error}") from None

    def require(self, name: str, parse: Callable[[str], _T], why: str) -> _T:
        """A variable that has no default."""
        value = self(name, parse, None)
        if value is None:
            raise SettingsError(f"{_variable(name)} must be set: {why}")
        return value


def _emr(read: _Reader) -> EmrSettings:
    cluster_id = read("emr_cluster_id", values.cluster_id, None)
    create = read("emr_create_cluster", values.yes_or_no, cluster_id is None)
    if create == (cluster_id is not None):
        wrong = "set one of them, not both" if create else "name in it the cluster to take"
        raise SettingsError(f"CAPSTONE_EMR_CLUSTER_ID and CAPSTONE_EMR_CREATE_CLUSTER={str(create).lower()}: {wrong}")
    why = "where this host and the cluster exchange files, like s3://bucket/staging"
    staging = read.require("emr_staging_uri", values.s3_uri, why)
    return EmrSettings(
        create_cluster=create,
        cluster_id=cluster_id,
        terminate_cluster=read("emr_terminate_cluster", values.yes_or_no, create),
        release=read("emr_release", values.word, "emr-spark-8.0.0"),
        master_fleet=read("emr_master_fleet", Fleet.needed, Fleet(1, ("m6i.xlarge", "m5.xlarge"))),
        core_fleet=read("emr_core_fleet", Fleet.needed, Fleet(2, ("m6i.xlarge", "m5.xlarge"))),
        task_fleet=read("emr_task_fleet", Fleet.parse, Fleet(0, ("m6i.xlarge", "m5.xlarge", "m5a.xlarge"))),
        subnets=read("emr_subnets", values.words, ()),
        service_role=read("emr_service_role", values.word, "EMR_DefaultRole"),
        instance_profile=read("emr_instance_profile", values.word, "EMR_EC2_DefaultRole"),
        security_configuration=read("emr_security_configuration", values.word, None),
        bootstrap_uri=read("emr_bootstrap_uri", values.s3_uri, None),
        staging_uri=staging,
        log_uri=read("emr_log_uri", values.s3_uri, f"{staging}/logs"),
        idle_minutes=read("emr_idle_minutes", values.idle_minutes, 30.0),
        poll_seconds=read("emr_poll_seconds", values.positive, 10.0),
        start_minutes=read("emr_start_minutes", values.positive, 30.0),
        step_minutes=read("emr_step_minutes", values.positive, 240.0),
        patience_minutes=read("emr_patience_minutes", values.positive, 10.0),
        log_seconds=read("emr_log_seconds", values.positive, 120.0),
        spark_conf=read("emr_spark_conf", values.spark_conf, {}),
    )
