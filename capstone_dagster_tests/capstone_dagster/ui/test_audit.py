"""The file of the audit log: it is for its user alone, and never larger than it may be."""

import json
from pathlib import Path

import pytest

from capstone_dagster.ui import audit
from capstone_dagster.ui.audit import Audit


def _whats(file: Path) -> list[str]:
    return [json.loads(line)["what"] for line in file.read_text().splitlines()]


def test_full_files_are_renamed_and_the_oldest_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_MOST_BYTES", 150)  # which two lines have
    monkeypatch.setattr(audit, "_OLDER_FILES", 2)
    log = Audit(tmp_path / "logs")

    for number in range(9):
        log.note(f"{number}", None, "127.0.0.1")

    files = sorted((tmp_path / "logs").iterdir())
    assert {file.name: _whats(file) for file in files} == {
        "ui_audit.log": ["8"],
        "ui_audit.log.1": ["6", "7"],
        "ui_audit.log.2": ["4", "5"],
    }
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
