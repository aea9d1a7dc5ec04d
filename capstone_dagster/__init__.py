"""The orchestration, a tower of rooms: each may import only what stands below it.

From the roof down: ``cli``; ``tracker`` and ``ui``; ``definitions``; ``automation``; ``resources``; ``job_status``;
``runs``; ``emr``; ``steps``; ``assets``; ``readers`` and ``run_storage``; ``settings`` and its ``setting_values``;
``deliveries``; and on the ground ``run_tags``, ``trading_days`` and ``wording``. The computation is the package
``spark_code``, which imports nothing of this. ``make lint`` holds the contract in ``pyproject.toml``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capstone_dagster.readers.days import days
    from capstone_dagster.readers.rows import read
    from capstone_dagster.readers.views import connect

__all__ = ["connect", "days", "read"]

# What analysts import from here. It is loaded when it is used, because everybody imports this package.
_READERS = {
    "connect": "capstone_dagster.readers.views",
    "days": "capstone_dagster.readers.days",
    "read": "capstone_dagster.readers.rows",
}


def __getattr__(name: str) -> Any:
    if name not in _READERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_READERS[name]), name)
