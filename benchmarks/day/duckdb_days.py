"""DuckDB, with hand-written SQL: ``python -m benchmarks.day.duckdb_days plain_duckdb`` or ``contract_duckdb``.

The events of a day stay in memory between the steps. Before it runs the SQL, Python counts the lines.
"""

import bz2
import gzip
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import duckdb

from benchmarks.day.answers import Clock, answer
from spark_code.flow import STEPS
from spark_code.raw_lines import MAX_KEPT_BYTES, MAX_LINE_BYTES
from spark_code.schemas import CLOSES, EVENTS, TABLES, RecordType

_NO_CLOSES = "(SELECT NULL::VARCHAR AS symbol, NULL::VARCHAR AS exchange, NULL::DECIMAL(18,6) AS close_pr LIMIT 0)"
