"""Where the parts of a published day lie, below the lake."""

from datetime import date

from spark_code.schemas import Table


def pointer(table: Table, day: date) -> str:
    """The object that names the version that counts."""
    return f"{table.path}/_published/{day}.json"


def version_folder(table: Table, version: str) -> str:
    """All that belongs to a version."""
    return f"{table.path}/data/{version}"


def day_folder(table: Table, version: str, day: date) -> str:
    """The rows of a version."""
    return f"{version_folder(table, version)}/trade_dt={day}"


def kept_manifest(table: Table, version: str) -> str:
    """The manifest with which a version was published, beside its rows; readers leave out what begins with _."""
    return f"{version_folder(table, version)}/_manifest.json"
