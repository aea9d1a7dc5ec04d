"""What ``docs/security.md`` says of all files: its tests exist, no secret is in git, and no SQL has values in it."""

import ast
import math
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from capstone_dagster.settings import CHECKOUT

TESTS = CHECKOUT / "capstone_dagster_tests"
DOCUMENT = (CHECKOUT / "docs" / "security.md").read_text()


def test_every_test_that_the_document_names_is_there_and_only_one_is_meant() -> None:
    named = set(re.findall(r"[\w/]*\btest_\w+\.py", DOCUMENT))
    found = {name: [path for path in TESTS.rglob("*.py") if f"{path}".endswith(f"/{name}")] for name in named}

    assert named
    assert {name: paths for name, paths in found.items() if len(paths) != 1} == {}


def test_every_measure_of_the_document_names_its_test() -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| ") and line.count("|") == 6]
    without = [row for row in rows[1:] if not re.search(r"`[\w/]*test_\w+\.py`", row.rsplit("|", 2)[1])]

    assert len(rows) > 20
    assert without == []


# The forms of keys as their makers print them, and what only looks like one.
SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\b(?:gh[opsur]_\w{36}|github_pat_\w{50,})",
    "a token of Slack": r"\bxox[abeprs]-[\w-]{10,}|hooks\.slack\.com/services/T\w{8,}/B\w{8,}/\w{20,}",
    "a key of Google": r"\bAIza[\w-]{35}",
    "a token of PyPI": r"\bpypi-[\w-]{50,}",
    "a signed token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
}
# Passwords and keys that programs have drawn are long, and have no order. Digests are hexadecimal, and are no secrets.
WORD, DRAWN = re.compile(r"[\w+/-]{32,}"), 4.3
PRIVATE_FILES = re.compile(r"(?:^|/)(?:\.env|\.pgpass|id_[a-z0-9]+|credentials)$|\.(?:pem|key|p12|pfx|jks)$")
# Hashes of packages.
LOCKS = (".lock",)


def _secrets_in(text: str) -> Iterator[str]:
    for kind, form in SECRETS.items():
        if re.search(form, text):
            yield kind
    for word in WORD.findall(text):
        letters = Counter(word)
        bits = -sum(count / len(word) * math.log2(count / len(word)) for count in letters.values())
        is_mixed = all(re.search(kind, word) for kind in ("[a-z]", "[A-Z]", "[0-9].*[0-9].*[0-9]"))
        if is_mixed and bits > DRAWN:
            yield f"a text that looks drawn: {word[:6]}..."


def _files_of_git() -> list[str]:
    """Those that are, or would be, committed."""
    command = ["git", "-C", f"{CHECKOUT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no checkout of git")
    return [name for name in listed.stdout.split("\0") if name and (CHECKOUT / name).is_file()]


def test_no_secret_is_in_the_files_of_git() -> None:
    names = _files_of_git()
    texts = {name: (CHECKOUT / name).read_bytes().decode(errors="ignore") for name in names if not name.endswith(LOCKS)}

    assert len(texts) > 500
    assert [name for name in names if PRIVATE_FILES.search(name)] == []
    assert {name: found for name, text in texts.items() if (found := list(_secrets_in(text)))} == {}


# Made here, so that none of them stands in this file.
MADE_UP = {
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "a key of AWS": "AKIA" + "Q7ZK" * 4,
    "a token of GitHub": "ghp_" + "a1B2c3" * 6,
    "a token of Slack": "xoxb-" + "1234567890-abc",
    "a key of Google": "AIza" + "Sy-12" * 7,
    "a token of PyPI": "pypi-" + "AgEIcHlw" * 8,
    "a signed token": "eyJ" + "hbGciOiJIUzI1" + ".eyJ" + "zdWIiOiIxMjM0" + ".c2lnbmF0dXJl",
    "a text that looks drawn: kX9vQ2...": "kX9vQ2mZr7Lp/4Tb" + "Wc8YhN3sJ6dGf1RaUe5KoBi0PqHx",
}


@pytest.mark.parametrize(("kind", "secret"), MADE_UP.items(), ids=MADE_UP)
def test_a_secret_would_be_found(kind: str, secret: str) -> None:
    assert kind in list(_secrets_in(f'password = "{secret}"'))


# What is put into the text of SQL where ruff's S608 does not look, and whose it is.
PUT_INTO_SQL = {
    "_LONGEST_WAIT": "a constant",
    "on": "TABLE or COLUMN",
    "price": "a column of spark_code/schemas.py",
    "up_to_now": "a window over such columns",
    "before": "the same",
    "rows": "rows_in() of spark_code/lake_files.py, which doubles the quotes in names of files",
    "_rows(table, versions, named)": "the same",
    "table": "quote_ident() of Postgres",
    "table.layer": "a name of spark_code/schemas.py",
    "table.name": "the same",
    "query.strip().rstrip(';')": "the query of a person, asked as a role that only reads",
}
ASKING = {"execute", "executemany", "copy_expert", "mogrify", "sql", "SQL", "text", "query", "expr", "selectExpr"}


def _made_sql(file: Path) -> Iterator[tuple[str, str]]:
    """Where a text is put together for a call that runs SQL, and each expression that is put into it."""
    for call in ast.walk(ast.parse(file.read_text())):
        if not isinstance(call, ast.Call) or not call.args:
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        match call.args[0]:
            case ast.JoinedStr(values=values) if name in ASKING:
                put = [ast.unparse(value.value) for value in values if isinstance(value, ast.FormattedValue)]
            case ast.BinOp(op=ast.Add() | ast.Mod()) as joined if name in ASKING:
                put = [ast.unparse(joined)]
            case ast.Call(func=ast.Attribute(attr="format", value=ast.Constant())) as formatted if name in ASKING:
                put = [ast.unparse(formatted)]
            case _:
                put = []
        yield from ((f"{file.relative_to(CHECKOUT)}:{call.lineno}", each) for each in put)


def test_no_value_from_outside_is_put_into_the_text_of_sql() -> None:
    files = [path for room in ("capstone_dagster", "spark_code", "deploy") for path in (CHECKOUT / room).rglob("*.py")]
    made = [found for file in files for found in _made_sql(file)]

    assert [f"{where} puts {put} into SQL" for where, put in made if put not in PUT_INTO_SQL] == []
    assert {put for _, put in made} == PUT_INTO_SQL.keys()  # none is out of date


@pytest.mark.parametrize(
    "line",
    ['cursor.execute(f"DELETE FROM {x}")', 'd.sql("FROM " + x)', 'c.execute("a %s" % x)', 'sql.SQL("{}".format(x))'],
)
def test_sql_with_a_value_in_it_would_be_found(tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.CHECKOUT", tmp_path)
    (tmp_path / "module.py").write_text(f"x = 1\n{line}\n")

    [(where, put)] = _made_sql(tmp_path / "module.py")
    assert where == "module.py:2"
    assert "x" in put
