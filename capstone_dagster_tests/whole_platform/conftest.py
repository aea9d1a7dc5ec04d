"""The fixtures of the rooms, for tests of all of them at once."""

from capstone_dagster_tests.capstone_dagster.automation.conftest import days  # noqa: F401 -- pytest finds fixtures so
from capstone_dagster_tests.capstone_dagster.conftest import (  # noqa: F401 -- the same
    capstone,
    histories,
    home,
    instance,
    tracker,
)
from capstone_dagster_tests.servers.s3_server import s3_endpoint, s3_uri  # noqa: F401 -- the same
from capstone_dagster_tests.servers.webhook_server import second_webhook, webhook  # noqa: F401 -- the same
