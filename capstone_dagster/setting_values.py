"""How the text of a variable becomes the value of a setting, and how a value is written back.

A parser raises ValueError with what the variable takes. Which settings there are is in ``settings``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Literal, Self, get_args
from urllib.parse import urlsplit

from capstone_dagster.trading_days import EARLIEST_FIRST_DAY, LATEST_FIRST_DAY
from spark_code.locations import location

# cluster is what a step on EMR sets for itself: the Spark of the spark-submit that runs it.
Deployment = Literal["local", "emr", "cluster"]
# What EMR takes.
_MOST_TYPES, _MOST_IDLE_MINUTES = 30, 7 * 24 * 60
# When the NYSE closes, in New York. On half days it closes earlier.
_CLOSE = time(16)
# What names a secret in Spark's configuration. Arguments of a step are shown in the EMR console.
_SECRET = re.compile(r"password|secret|token|credential|access\.?key|session\.?key", re.IGNORECASE)


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

    def __str__(self) -> str:
        return f"{self.units}x{','.join(self.types)}"


def as_text(value: object) -> str:
    """A value as its variable takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, time):
        return f"{value:%H:%M}"
    if isinstance(value, float):
        return f"{value:.10f}".rstrip("0").rstrip(".")
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, Mapping):
        return ";".join(f"{key}={given}" for key, given in value.items())
    return str(value)


def deployment(value: str) -> Deployment:
    """One of the deployments."""
    for known in get_args(Deployment):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise ValueError("must be local or emr")


def folder(value: str) -> Path:
    """A local folder, which need not exist yet."""
    return Path(location(str(Path(value).expanduser())))


def s3_uri(value: str) -> str:
    """A place on S3."""
    if not value.startswith("s3://"):
        raise ValueError("must be a place on S3 like s3://bucket/prefix")
    return location(value)


def postgres_url(value: str) -> str:
    """A database of a Postgres server."""
    try:
        parts = urlsplit(value)
        is_usable = parts.scheme in ("postgresql", "postgres") and parts.path.strip("/") and parts.port != 0
    except ValueError:  # its text would show the password
        is_usable = False
    if not is_usable:
        raise ValueError("must look like postgresql://user:password@host:5432/database") from None
    # The short scheme is common, and SQLAlchemy does not know it.
    return "postgresql" + value[value.index(":") :]


def first_trading_day(value: str) -> date:
    """The day with which the partitions begin."""
    # fromisoformat takes 20200805 too, which would not look like the partition it names.
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        raise ValueError("must be a date like 2020-08-05")
    day = date.fromisoformat(value)
    if not EARLIEST_FIRST_DAY <= day <= LATEST_FIRST_DAY:
        raise ValueError(f"must be from {EARLIEST_FIRST_DAY} to {LATEST_FIRST_DAY}")
    return day


def memory(value: str) -> str:
    """A size as Spark takes it."""
    if not re.fullmatch(r"[1-9]\d*[mg]", value):
        raise ValueError("must be a size for Spark like 4g or 1500m")
    return value


def ratio(value: str) -> float:
    """A share of a whole."""
    if not re.fullmatch(r"0|1|0?\.\d+|[01]\.0*", value):
        raise ValueError("must be a share between 0 and 1")
    return float(value)


def yes_or_no(value: str) -> bool:
    """A switch."""
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def positive(value: str) -> float:
    """A number of seconds or minutes."""
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", value) or not float(value):
        raise ValueError("must be a number above 0")
    return float(value)


def not_negative(value: str) -> float:
    """A number of seconds, perhaps none."""
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", value):
        raise ValueError("must be a number of seconds")
    return float(value)


def days(value: str) -> int:
    """A number of trading days."""
    if not re.fullmatch(r"[1-9]\d{0,3}", value):
        raise ValueError("must be a number from 1 to 9999")
    return int(value)


def after_the_close(value: str) -> time:
    """A time of day in New York, when the exchange has closed."""
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value) or (moment := time.fromisoformat(value)) < _CLOSE:
        raise ValueError(f"must be a time in New York like 19:00, not before the close at {_CLOSE:%H:%M}")
    return moment


def web_address(value: str) -> str:
    """Where people open the UI."""
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
        raise ValueError("must be an address like http://127.0.0.1:3000")
    return value.rstrip("/")


def host_names(value: str) -> tuple[str, ...]:
    """Names or addresses of hosts, with commas between them."""
    names = tuple(name.strip().lower() for name in value.split(","))
    if not all(re.fullmatch(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]", name) for name in names):
        raise ValueError("must be names of hosts with commas between them and without ports, like market.example.com")
    return names


def alert_urls(value: str) -> tuple[str, ...]:
    """URLs of apprise, with blanks between them."""
    urls = tuple(value.split())
    if not all(re.match(r"[a-z0-9]+://\S", url, re.IGNORECASE) for url in urls):
        raise ValueError("must be URLs of apprise with blanks between them, like mailto://... or slack://...")
    return urls


def idle_minutes(value: str) -> float:
    """How long a cluster may idle."""
    minutes = positive(value)
    if minutes > _MOST_IDLE_MINUTES:
        raise ValueError(f"must be at most {_MOST_IDLE_MINUTES}, a week")
    return minutes


def retries(value: str) -> int:
    """How often something is tried again."""
    if not re.fullmatch(r"\d|10", value):
        raise ValueError("must be a number from 0 to 10")
    return int(value)


def word(value: str) -> str:
    """A name as AWS gives them."""
    if not re.fullmatch(r"[\w.:/+=@-]+", value):
        raise ValueError("must be one name without blanks")
    return value


def glue_database(value: str) -> str:
    """A database of the Glue catalog."""
    if not re.fullmatch(r"[a-z0-9_]{1,255}", value):
        raise ValueError("must be a name of lower-case letters, digits and _")
    return value


def cluster_id(value: str) -> str:
    """The id of an EMR cluster."""
    if not re.fullmatch(r"j-[A-Z0-9]+", value):
        raise ValueError("must be the id of a cluster like j-2AXXXXXXGAPLF")
    return value


def words(value: str) -> tuple[str, ...]:
    """Several names, with commas between them."""
    return tuple(word(part.strip()) for part in value.split(","))


def spark_conf(value: str) -> Mapping[str, str]:
    """Settings of Spark, ``key=value;key=value``; none of them a secret."""
    conf = {}
    for setting in filter(None, (part.strip() for part in value.split(";"))):
        key, equals, given = setting.partition("=")
        if not equals or not key.startswith("spark."):
            raise ValueError("must be settings like spark.executor.memory=4g;spark.executor.cores=2")
        if _SECRET.search(key):
            raise ValueError(f"{key} would show a secret in the console of EMR; give the cluster a role instead")
        if key == "spark.master":
            raise ValueError("spark.master is always yarn on EMR")
        conf[key] = given
    return conf
