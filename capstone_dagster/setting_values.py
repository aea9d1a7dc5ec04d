"""What a variable may hold, as types that pydantic reads from its text, and how a value is written back.

Each type says in a sentence what its variable takes. Which settings there are is in ``settings``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, time
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainValidator, ValidationError, WrapValidator

from capstone_dagster.deliveries.preconditions import Preconditions
from capstone_dagster.trading_days import EARLIEST_FIRST_DAY, LATEST_FIRST_DAY
from spark_code.locations import StorageError, location

# What EMR takes.
_MOST_TYPES, _MOST_IDLE_MINUTES = 30, 7 * 24 * 60
# When the NYSE closes, in New York. On half days it closes earlier.
_CLOSE = time(16)
# What names a secret in Spark's configuration. Arguments of a step are shown in the EMR console.
_SECRET = re.compile(r"password|secret|token|credential|access\.?key|session\.?key", re.IGNORECASE)
_HOST, _URL = r"\s*([a-z0-9_.-]+|\[[0-9a-f:.]+\])\s*", r"[a-z0-9]+://\S+"


class Variables(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True, validate_by_name=True):
    """Settings that belong together; an alias is the name of a variable, and an error shows no value."""


def _takes(what: str, like: str = "") -> WrapValidator:
    """Refuse with one sentence what the type refuses, and text that is not like the pattern.

    pydantic alone would take 1 for a yes, and a number of seconds for a date or a time.
    """

    def validated(value: object, validate: Callable[[object], Any]) -> Any:
        if like and isinstance(value, str) and not re.fullmatch(like, value):
            raise ValueError(what)
        try:
            return validate(value)
        except ValidationError:
            raise ValueError(what) from None

    return WrapValidator(validated)


def _parsed(parse: Callable[[str], Any]) -> PlainValidator:
    """Read text with a function, whose ValueError says what the variable takes."""
    return PlainValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _several(separator: str | None) -> BeforeValidator:
    """Take apart what has this between its parts, or blanks."""
    return BeforeValidator(
        lambda value: [part.strip() for part in value.split(separator)] if isinstance(value, str) else value
    )


def _place(uri: str) -> str:
    try:
        return location(uri)
    except StorageError as error:
        raise ValueError(error) from None


def _postgres_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/") or parts.port == 0:
        raise ValueError
    # The short scheme is common, and SQLAlchemy does not know it.
    return "postgresql" + value[value.index(":") :]


def _network(text: str) -> str:
    network = ip_network(text, strict=False)
    if not network.prefixlen:
        raise ValueError
    return f"{network}"


def _spark_conf(value: str) -> Mapping[str, str]:
    conf = {}
    for setting in filter(None, (part.strip() for part in value.split(";"))):
        key, equals, given = setting.partition("=")
        if not equals or not key.startswith("spark."):
            raise ValueError("must be settings like spark.executor.memory=4g;spark.executor.cores=2")
        if _SECRET.search(key):
            raise ValueError(f"{key} would show a secret in the console of EMR; give the cluster a role instead")
        if key == "spark.master":
            raise ValueError("spark.master is always yarn on EMR")
        if key == "spark.submit.deployMode" and given != "client":
            raise ValueError("spark.submit.deployMode is always client: only then is the step's log the driver's")
        conf[key] = given
    return conf


@dataclass(frozen=True)
class Fleet:
    """One instance fleet of a cluster: how many machines, of any of these types."""

    units: int
    types: tuple[str, ...]

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read ``2xm6i.xlarge,m5.xlarge``."""
        found = re.fullmatch(r"(\d{1,4})x([a-z][\w-]*\.[\w-]+(?:,[a-z][\w-]*\.[\w-]+)*)", value)
        if not found:
            raise ValueError("must be machines and their types like 2xm6i.xlarge,m5.xlarge")
        fleet = cls(int(found[1]), tuple(found[2].split(",")))
        if len(fleet.types) > _MOST_TYPES:
            raise ValueError(f"must be at most {_MOST_TYPES} types")
        return fleet

    @classmethod
    def needed(cls, value: str) -> Self:
        """The same of a fleet that no cluster is without."""
        fleet = cls.parse(value)
        if not fleet.units:
            raise ValueError("must be at least one machine")
        return fleet

    @classmethod
    def single(cls, value: str) -> Self:
        """The same of the fleet that has one machine in every cluster."""
        fleet = cls.parse(value)
        if fleet.units != 1:
            raise ValueError("must be one machine like 1xm6i.xlarge,m5.xlarge, as EMR takes no more")
        return fleet

    def __str__(self) -> str:
        return f"{self.units}x{','.join(self.types)}"


def _quality_limits(text: str) -> str:
    if text:
        from spark_code.quality_limits import Limits, LimitsError  # noqa: PLC0415 - loads PySpark, for those who set it

        try:
            Limits.parse(text)
        except LimitsError as error:
            raise ValueError(error) from None
    return text


# cluster is what a step on EMR sets for itself: the Spark of the spark-submit that runs it.
Deployment = Annotated[Literal["local", "emr", "cluster"], _takes("must be local or emr")]
YesOrNo = Annotated[bool, _takes("must be true or false", "true|false")]

_WHOLE, _DECIMAL = r"\d+", r"\d+(\.\d+)?"
Days = Annotated[int, Field(ge=1, le=9999), _takes("must be a number from 1 to 9999", _WHOLE)]
Versions = Annotated[int, Field(ge=2, le=100), _takes("must be a number from 2 to 100", _WHOLE)]
Retries = Annotated[int, Field(ge=0, le=10), _takes("must be a number from 0 to 10", _WHOLE)]
DiskGib = Annotated[int, Field(ge=10, le=16384), _takes("must be a number of GiB from 10 to 16384", _WHOLE)]
Machines = Annotated[int, Field(ge=1, le=9999), _takes("must be a number from 1 to 9999", _WHOLE)]
Ratio = Annotated[float, Field(ge=0, le=1), _takes("must be a share between 0 and 1", _DECIMAL)]
QualityLimits = Annotated[str, AfterValidator(_quality_limits)]
NotNegative = Annotated[float, Field(ge=0, lt=1_000_000), _takes("must be a number of seconds", _DECIMAL)]
Positive = Annotated[float, Field(gt=0, lt=1_000_000), _takes("must be a number above 0", _DECIMAL)]
_A_WEEK = f"must be a number above 0 and at most {_MOST_IDLE_MINUTES}, a week"
IdleMinutes = Annotated[float, Field(gt=0, le=_MOST_IDLE_MINUTES), _takes(_A_WEEK, _DECIMAL)]
# As long as browsers keep the cookie.
SessionHours = Annotated[float, Field(gt=0, le=720), _takes("must be a number above 0 and at most 720", _DECIMAL)]

_A_DAY = f"must be a date like 2020-08-05, from {EARLIEST_FIRST_DAY} to {LATEST_FIRST_DAY}"
FirstDay = Annotated[date, Field(ge=EARLIEST_FIRST_DAY, le=LATEST_FIRST_DAY), _takes(_A_DAY, r"\d{4}-\d\d-\d\d")]
_A_TIME = f"must be a time in New York like 19:00, not before the close at {_CLOSE:%H:%M}"
AfterTheClose = Annotated[time, Field(ge=_CLOSE), _takes(_A_TIME, r"\d\d:\d\d")]

Word = Annotated[str, _takes("must be one name without blanks", r"[\w.:/+=@-]+")]
Words = Annotated[tuple[Word, ...], _several(",")]
Memory = Annotated[str, _takes("must be a size for Spark like 4g or 1500m", r"[1-9]\d*[mg]")]
GlueDatabase = Annotated[str, _takes("must be a name of lower-case letters, digits and _", "[a-z0-9_]{1,255}")]
ClusterId = Annotated[str, _takes("must be the id of a cluster like j-2AXXXXXXGAPLF", "j-[A-Z0-9]+")]

Folder = Annotated[Path, AfterValidator(lambda path: Path(_place(str(path.expanduser()))))]
File = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
Place = Annotated[str, AfterValidator(_place)]
S3Place = Annotated[str, _takes("must be a place on S3 like s3://bucket/prefix", "s3://.*"), AfterValidator(_place)]
_AN_ADDRESS = _takes("must be an address like http://127.0.0.1:3000", r"https?://[^\s/]+(/\S*)?")
WebAddress = Annotated[str, _AN_ADDRESS, AfterValidator(lambda url: url.rstrip("/"))]
_A_DATABASE = "must look like postgresql://user:password@host:5432/database"
PostgresUrl = Annotated[str, AfterValidator(_postgres_url), _takes(_A_DATABASE)]
_HOSTS = "must be names of hosts with commas between them and without ports, like market.example.com"
_HostName = Annotated[str, AfterValidator(str.lower)]
HostNames = Annotated[tuple[_HostName, ...], _several(","), _takes(_HOSTS, rf"(?i){_HOST}(,{_HOST})*")]
_NETWORKS = "must be addresses of proxies with commas between them, like 10.0.0.5 or 10.0.1.0/24, and not all addresses"
_Network = Annotated[str, AfterValidator(_network)]
Networks = Annotated[tuple[_Network, ...], _several(","), _takes(_NETWORKS)]
_HEADERS = "must be two names of headers with a comma between them, like X-Forwarded-User,X-Forwarded-Groups"
TwoHeaders = Annotated[tuple[str, str], _several(","), _takes(_HEADERS, r"\s*[\w-]+\s*,\s*[\w-]+\s*")]
_OWNERS = "must be teams and e-mail addresses with commas between them, like team:market-data,desk@example.com"
_OWNER = r"\s*(team:[\w-]+|[\w.%+-]+@[\w.-]+\.[A-Za-z]{2,})\s*"
Owners = Annotated[tuple[str, ...], _several(","), _takes(_OWNERS, rf"{_OWNER}(,{_OWNER})*")]
_ALERTS = "must be URLs of apprise with blanks between them, like mailto://... or slack://..."
AlertUrls = Annotated[tuple[str, ...], _several(None), _takes(_ALERTS, rf"(?i){_URL}(\s+{_URL})*")]

_A_TOPIC = "must be the ARN of an SNS topic like arn:aws:sns:us-east-1:123456789012:capstone-alarms"
Topic = Annotated[str, _takes(_A_TOPIC, r"arn:[\w-]+:sns:[\w-]+:\d{12}:[\w-]+")]

AnyFleet = Annotated[Fleet, _parsed(Fleet.parse)]
NeededFleet = Annotated[Fleet, _parsed(Fleet.needed)]
SingleFleet = Annotated[Fleet, _parsed(Fleet.single)]
SparkConf = Annotated[Mapping[str, str], _parsed(_spark_conf)]
Conditions = Annotated[Preconditions, _parsed(Preconditions.parse)]


def as_text(value: object) -> str:
    """A value as its variable takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, time):
        return f"{value:%H:%M}"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, Mapping):
        return ";".join(f"{key}={given}" for key, given in value.items())
    return str(value)
