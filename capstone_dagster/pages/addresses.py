"""Where pages are: in the lake, and for a browser. Loads nothing, so that commands may ask."""

from datetime import date
from pathlib import Path

from capstone_dagster.settings import Settings
from spark_code.locations import location

PAGES_FOLDER, INDEX_KEY = "report/page", "report/index.html"


def page_key(day: date) -> str:
    """The object of a day's page, below the lake."""
    return f"{PAGES_FOLDER}/{day}.html"


def address(settings: Settings, key: str) -> str:
    """How a browser reaches an object: where the lake is served, or as a file; on S3 without a server, its URI."""
    if settings.pages_url:
        return f"{settings.pages_url}/{key}"
    root = location(settings.lake_uri)
    return f"{root}/{key}" if root.startswith("s3://") else Path(root, key).as_uri()
