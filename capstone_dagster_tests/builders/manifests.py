"""Manifests of versions that have no files: enough for whoever reads no more than the pointer."""

from collections.abc import Mapping
from datetime import date

from spark_code.manifest import Manifest


def manifest_of(day: date, version: str = "v1", inputs: Mapping[str, str] | None = None, rows: int = 0) -> Manifest:
    """Of a version that was computed from these."""
    return Manifest(
        trade_dt=day.isoformat(),
        version=version,
        paths=[],
        rows=rows,
        bytes=0,
        run_id="run",
        attempt=1,
        token=1,
        published_at="2020-08-06T23:00:00.000+00:00",
        inputs=dict(inputs or {}),
    )
