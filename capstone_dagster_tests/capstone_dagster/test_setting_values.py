"""What each CAPSTONE_* variable takes, and the one line that refuses the rest.

How they combine is in ``test_settings``; what CAPSTONE_PRECONDITIONS takes is in ``test_preconditions``.
"""

from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from capstone_dagster.settings import Settings, SettingsError

ON_EMR = {
    "CAPSTONE_DEPLOYMENT": "emr",
    "CAPSTONE_RAW_URI": "s3://exchange/drop",
    "CAPSTONE_LAKE_URI": "s3://firm/lake",
    "CAPSTONE_EMR_STAGING_URI": "s3://firm-staging",
}
DATABASE = "postgresql://user:secret@host:5432/database"
OWNERS = "must be teams and e-mail addresses with commas between them, like team:market-data,desk@example.com"
WITHOUT_PORTS = "must be names of hosts with commas between them and without ports, like market.example.com"
ADDRESSES = "must be addresses of proxies with commas between them, like 10.0.0.5 or 10.0.1.0/24, and not all addresses"
TWO_HEADERS = "must be two names of headers with a comma between them, like X-Forwarded-User,X-Forwarded-Groups"
ONE_MACHINE = "must be one machine like 1xm6i.xlarge,m5.xlarge, as EMR takes no more"
FROM_TO = "must be a date like 2020-08-05, from 2004-01-01 to 2039-12-31"
AFTER_THE_CLOSE = "must be a time in New York like 19:00, not before the close at 16:00"


def refusal(variable: str, value: str, **others: str) -> str:
    with pytest.raises(SettingsError) as refused:
        Settings.from_mapping({**others, variable: value})
    return str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("CAPSTONE_HOME", "~/data", "home", Path.home() / "data"),
        ("CAPSTONE_HOME", "a/../b c", "home", Path.cwd() / "b c"),
        ("CAPSTONE_RAW_URI", "raw files", "raw_uri", str(Path.cwd() / "raw files")),
        ("CAPSTONE_LAKE_URI", "s3://bucket", "lake_uri", "s3://bucket"),
        ("CAPSTONE_POSTGRES_URL", "postgresql:///db?host=/tmp", "postgres_url", "postgresql:///db?host=/tmp"),
        ("CAPSTONE_POSTGRES_URL", f"  {DATABASE} ", "postgres_url", DATABASE),
        ("CAPSTONE_FIRST_TRADING_DAY", "2004-01-01", "first_trading_day", date(2004, 1, 1)),
        ("CAPSTONE_DRIVER_MEMORY", "12g", "driver_memory", "12g"),
        ("CAPSTONE_MAX_REJECT_RATIO", "0", "max_reject_ratio", 0.0),
        ("CAPSTONE_MAX_REJECT_RATIO", "1", "max_reject_ratio", 1.0),
        ("CAPSTONE_MAX_RETRIES", "0", "max_retries", 0),
        ("CAPSTONE_KEEP_VERSIONS", "2", "keep_versions", 2),
        ("CAPSTONE_KEEP_VERSIONS", "100", "keep_versions", 100),
        ("CAPSTONE_MAX_RETRIES", "10", "max_retries", 10),
        ("CAPSTONE_WATCH_DAYS", "1", "watch_days", 1),
        ("CAPSTONE_WATCH_DAYS", "9999", "watch_days", 9999),
        ("CAPSTONE_QUIET_SECONDS", "0", "quiet_seconds", 0.0),
        ("CAPSTONE_QUIET_SECONDS", "1.5", "quiet_seconds", 1.5),
        ("CAPSTONE_SENSOR_SECONDS", "0.1", "sensor_seconds", 0.1),
        ("CAPSTONE_SCHEDULE_TIME", "16:00", "schedule_time", time(16)),
        ("CAPSTONE_LATE_TIME", "23:59", "late_time", time(23, 59)),
        ("CAPSTONE_BACKFILL_DAYS", "1", "backfill_days", 1),
        ("CAPSTONE_UI_URL", "http://localhost:3000/", "ui_url", "http://localhost:3000"),
        ("CAPSTONE_UI_HOSTS", "Market.example.com, [fe80::1]", "ui_hosts", ("market.example.com", "[fe80::1]")),
        ("CAPSTONE_UI_PROXY", "10.0.0.5, fd00::/8", "ui_proxy", ("10.0.0.5/32", "fd00::/8")),
        ("CAPSTONE_UI_PROXY_HEADERS", "X-User , X-Role", "ui_proxy_headers", ("X-User", "X-Role")),
        (
            "CAPSTONE_OWNERS",
            "team:market-data , A.B+c@firm.example",
            "owners",
            ("team:market-data", "A.B+c@firm.example"),
        ),
        ("CAPSTONE_ALERT_URLS", "slack://a/b/c\tjson://h", "alert_urls", ("slack://a/b/c", "json://h")),
        ("CAPSTONE_PRECONDITION_COMMANDS", "true", "precondition_commands", True),
    ],
)
def test_a_valid_value_is_taken(variable: str, value: str, field: str, expected: Any) -> None:
    assert getattr(Settings.from_mapping({variable: value}), field) == expected


@pytest.mark.parametrize(
    ("variable", "value", "what_it_takes"),
    [
        ("CAPSTONE_DEPLOYMENT", "Local", "must be local or emr"),
        ("CAPSTONE_DEPLOYMENT", "production", "must be local or emr"),
        ("CAPSTONE_HOME", __file__, f"{__file__} is a file, not a folder"),
        ("CAPSTONE_RAW_URI", "s3://", "'s3://' names no bucket; write s3://bucket/prefix"),
        ("CAPSTONE_LAKE_URI", "gs://bucket/a", "'gs://bucket/a' is neither a local path, file:// nor s3://"),
        ("CAPSTONE_FIRST_TRADING_DAY", "20200805", FROM_TO),
        ("CAPSTONE_FIRST_TRADING_DAY", "1596585600", FROM_TO),
        ("CAPSTONE_FIRST_TRADING_DAY", "2020-8-5", FROM_TO),
        ("CAPSTONE_FIRST_TRADING_DAY", "yesterday", FROM_TO),
        ("CAPSTONE_FIRST_TRADING_DAY", "2020-02-30", FROM_TO),
        ("CAPSTONE_FIRST_TRADING_DAY", "2003-12-31", FROM_TO),
        ("CAPSTONE_DRIVER_MEMORY", "4", "must be a size for Spark like 4g or 1500m"),
        ("CAPSTONE_DRIVER_MEMORY", "0g", "must be a size for Spark like 4g or 1500m"),
        ("CAPSTONE_DRIVER_MEMORY", "4 g", "must be a size for Spark like 4g or 1500m"),
        ("CAPSTONE_DRIVER_MEMORY", "4g --conf x=y", "must be a size for Spark like 4g or 1500m"),
        ("CAPSTONE_MAX_REJECT_RATIO", "5", "must be a share between 0 and 1"),
        ("CAPSTONE_MAX_REJECT_RATIO", "-0.1", "must be a share between 0 and 1"),
        ("CAPSTONE_MAX_REJECT_RATIO", "nan", "must be a share between 0 and 1"),
        ("CAPSTONE_MAX_REJECT_RATIO", "inf", "must be a share between 0 and 1"),
        ("CAPSTONE_MAX_REJECT_RATIO", "5%", "must be a share between 0 and 1"),
        ("CAPSTONE_MAX_RETRIES", "11", "must be a number from 0 to 10"),
        ("CAPSTONE_KEEP_VERSIONS", "1", "must be a number from 2 to 100"),
        ("CAPSTONE_KEEP_VERSIONS", "101", "must be a number from 2 to 100"),
        ("CAPSTONE_MAX_RETRIES", "-1", "must be a number from 0 to 10"),
        ("CAPSTONE_WATCH_DAYS", "0", "must be a number from 1 to 9999"),
        ("CAPSTONE_WATCH_DAYS", "10000", "must be a number from 1 to 9999"),
        ("CAPSTONE_WATCH_DAYS", "all", "must be a number from 1 to 9999"),
        ("CAPSTONE_WATCH_DAYS", "1_0", "must be a number from 1 to 9999"),
        ("CAPSTONE_WATCH_DAYS", "5.0", "must be a number from 1 to 9999"),
        ("CAPSTONE_LEASE_MINUTES", "1e-9", "must be a number above 0"),
        ("CAPSTONE_QUIET_SECONDS", "-1", "must be a number of seconds"),
        ("CAPSTONE_QUIET_SECONDS", "1 min", "must be a number of seconds"),
        ("CAPSTONE_SENSOR_SECONDS", "0", "must be a number above 0"),
        ("CAPSTONE_SENSOR_SECONDS", "inf", "must be a number above 0"),
        ("CAPSTONE_SCHEDULE_TIME", "15:59", AFTER_THE_CLOSE),
        ("CAPSTONE_SCHEDULE_TIME", "7pm", AFTER_THE_CLOSE),
        ("CAPSTONE_SCHEDULE_TIME", "19:00Z", AFTER_THE_CLOSE),
        ("CAPSTONE_LATE_TIME", "09:30", AFTER_THE_CLOSE),
        ("CAPSTONE_LATE_TIME", "24:00", AFTER_THE_CLOSE),
        ("CAPSTONE_LATE_TIME", "68400", AFTER_THE_CLOSE),
        ("CAPSTONE_BACKFILL_DAYS", "0", "must be a number from 1 to 9999"),
        ("CAPSTONE_BACKFILL_DAYS", "1.5", "must be a number from 1 to 9999"),
        ("CAPSTONE_UI_URL", "127.0.0.1:3000", "must be an address like http://127.0.0.1:3000"),
        ("CAPSTONE_UI_HOSTS", "market.example.com:3000", WITHOUT_PORTS),
        ("CAPSTONE_UI_HOSTS", "*", WITHOUT_PORTS),
        ("CAPSTONE_UI_PROXY", "proxy.internal", ADDRESSES),
        ("CAPSTONE_UI_PROXY", "10.0.0.300", ADDRESSES),
        ("CAPSTONE_UI_PROXY", "10.0.0.5, 0.0.0.0/0", ADDRESSES),
        ("CAPSTONE_UI_PROXY", "::/0", ADDRESSES),
        ("CAPSTONE_UI_PROXY_HEADERS", "X-User", TWO_HEADERS),
        ("CAPSTONE_UI_SESSION_HOURS", "0", "must be a number above 0 and at most 720"),
        ("CAPSTONE_UI_SESSION_HOURS", "721", "must be a number above 0 and at most 720"),
        ("CAPSTONE_OWNERS", "market-data", OWNERS),
        ("CAPSTONE_OWNERS", "team:", OWNERS),
        ("CAPSTONE_OWNERS", "desk@firm", OWNERS),
        ("CAPSTONE_OWNERS", "team:market-data,,desk@firm.example", OWNERS),
        ("CAPSTONE_CODE_URL", "git@firm.example:market-data.git", "must be an address like http://127.0.0.1:3000"),
        ("CAPSTONE_UI_URL", "http:///runs", "must be an address like http://127.0.0.1:3000"),
        ("CAPSTONE_PRECONDITION_COMMANDS", "1", "must be true or false"),
        (
            "CAPSTONE_ALERT_TOPIC",
            "market-alarms",
            "must be the ARN of an SNS topic like arn:aws:sns:us-east-1:123456789012:capstone-alarms",
        ),
        ("CAPSTONE_GLUE_DATABASE", "Market-Data", "must be a name of lower-case letters, digits and _"),
        ("CAPSTONE_EMR_CLUSTER_ID", "capstone", "must be the id of a cluster like j-2AXXXXXXGAPLF"),
        ("CAPSTONE_EMR_CREATE_CLUSTER", "yes", "must be true or false"),
        ("CAPSTONE_EMR_MASTER_FLEET", "2xm6i.xlarge", ONE_MACHINE),
        ("CAPSTONE_EMR_MASTER_FLEET", "0xm6i.xlarge", ONE_MACHINE),
        ("CAPSTONE_EMR_CORE_FLEET", "m5.xlarge", "must be machines and their types like 2xm6i.xlarge,m5.xlarge"),
        ("CAPSTONE_EMR_CORE_FLEET", "2xlarge", "must be machines and their types like 2xm6i.xlarge,m5.xlarge"),
        ("CAPSTONE_EMR_CORE_FLEET", "0xm5.xlarge", "must be at least one machine"),
        ("CAPSTONE_EMR_TASK_FLEET", f"1x{','.join(['m5.xlarge'] * 31)}", "must be at most 30 types"),
        ("CAPSTONE_EMR_MAX_MACHINES", "0", "must be a number from 1 to 9999"),
        ("CAPSTONE_EMR_DISK_GIB", "9", "must be a number of GiB from 10 to 16384"),
        ("CAPSTONE_EMR_DISK_GIB", "200GB", "must be a number of GiB from 10 to 16384"),
        ("CAPSTONE_EMR_IDLE_MINUTES", "0", "must be a number above 0 and at most 10080, a week"),
        ("CAPSTONE_EMR_IDLE_MINUTES", "10081", "must be a number above 0 and at most 10080, a week"),
        ("CAPSTONE_EMR_SERVICE_ROLE", "two words", "must be one name without blanks"),
        ("CAPSTONE_EMR_SUBNETS", "subnet-0a1,", "must be one name without blanks"),
        ("CAPSTONE_EMR_STAGING_URI", "/data/staging", "must be a place on S3 like s3://bucket/prefix"),
        ("CAPSTONE_EMR_LOG_URI", "s3://", "'s3://' names no bucket; write s3://bucket/prefix"),
        ("CAPSTONE_EMR_POLL_SECONDS", "0", "must be a number above 0"),
        ("CAPSTONE_EMR_POLL_SECONDS", "nan", "must be a number above 0"),
        ("CAPSTONE_EMR_STEP_MINUTES", "-5", "must be a number above 0"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_what_the_variable_takes(
    variable: str, value: str, what_it_takes: str
) -> None:
    others = ON_EMR if "EMR" in variable else {}
    assert refusal(variable, value, **others) == f"{variable}: {value!r} cannot be used: {what_it_takes}"


@pytest.mark.parametrize("value", ["2040-12-31", "2041-01-02", "9999-12-31"])
def test_a_first_trading_day_that_leaves_no_trading_day_is_refused(value: str) -> None:
    assert refusal("CAPSTONE_FIRST_TRADING_DAY", value).startswith(f"CAPSTONE_FIRST_TRADING_DAY: {value!r} cannot be")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("mysql://user:secret@host/database", id="another kind of server"),
        pytest.param("user:secret@host/database", id="no scheme"),
        pytest.param("postgresql://user:secret@host", id="no database"),
        pytest.param("postgresql://user:secret@host:5432/", id="no database behind the slash"),
        pytest.param("postgresql://user:secret@[host/database", id="half an IPv6 address"),
        pytest.param("postgresql://user:secret@host:port/database", id="a port that is no number"),
        pytest.param("postgresql://user:secret\N{FULLWIDTH COMMERCIAL AT}host/database", id="an @ of another keyboard"),
    ],
)
def test_a_wrong_database_url_is_refused_without_showing_the_password(value: str) -> None:
    message = refusal("CAPSTONE_POSTGRES_URL", value)

    assert message.startswith("CAPSTONE_POSTGRES_URL: the given value cannot be used: ")
    assert "secret" not in message
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"CAPSTONE_POSTGRES_URL": value})
    assert "secret" not in f"{refused.value}"


@pytest.mark.parametrize("value", ["canary", "mailto://firm.example canary", "://canary"])
def test_wrong_alert_urls_are_refused_without_being_shown(value: str) -> None:
    assert refusal("CAPSTONE_ALERT_URLS", value) == (
        "CAPSTONE_ALERT_URLS: the given value cannot be used: must be URLs of apprise with blanks between them, like "
        "mailto://... or slack://..."
    )
