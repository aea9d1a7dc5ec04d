"""The command ``capstone ui-user``: what it writes, prints and refuses."""

import io
import os
import pty
from contextlib import suppress
from pathlib import Path

import pytest

from capstone_dagster.ui.users import hash_of_token, is_password, read_users
from capstone_dagster_tests.builders.command_line import CAPSTONE, Run


@pytest.fixture
def file(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = home / "users.json"
    monkeypatch.setenv("CAPSTONE_UI_USERS", str(file))
    return file


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a long password\r\n"))


@pytest.mark.usefixtures("typed")
def test_a_password_and_a_token_are_added_a_role_changed_and_a_user_removed(capstone: Run, file: Path) -> None:
    assert capstone("ui-user", "anna", "--role", "operator") == (0, "anna can sign in as operator\n", "")
    anna = read_users(file)["anna"]
    assert (anna.role, anna.token) == ("operator", None)
    assert file.parent.stat().st_mode & 0o777 == 0o700  # the new home
    assert is_password("a long password", anna.password)

    code, token, err = capstone("ui-user", "anna", "--token")
    assert (code, err) == (0, "")
    with_token = read_users(file)["anna"]
    assert with_token == anna.model_copy(update={"token": hash_of_token(token.strip())})

    told = "anna is now viewer; password and token are unchanged\n"
    assert capstone("ui-user", "anna", "--role", "viewer") == (0, told, "")
    assert read_users(file)["anna"] == with_token.model_copy(update={"role": "viewer"})

    assert capstone("ui-user", "anna", "--remove") == (0, f"anna is removed from {file}\n", "")
    assert read_users(file) == {}
    assert capstone("ui-user", "anna", "--remove") == (1, "", f"capstone: anna is not in {file}\n")


def test_a_user_of_scripts_alone_has_no_password(capstone: Run, file: Path) -> None:
    code, token, _ = capstone("ui-user", "robot", "--role", "viewer", "--token")

    assert code == 0
    assert read_users(file)["robot"].model_dump() == {
        "role": "viewer",
        "password": None,
        "token": hash_of_token(token.strip()),
    }


def _on_a_terminal(*typed: str) -> tuple[str, int]:
    """What a person sees who adds ben and types these lines, each when asked for, and the exit code."""
    process, terminal = pty.fork()
    if not process:  # this is the child, and the terminal is its own
        os.execv(CAPSTONE, ["capstone", "ui-user", "ben", "--role", "viewer"])  # noqa: S606
    seen = ""
    lines = [*typed]
    with suppress(OSError):  # how a terminal says that its program has ended
        while piece := os.read(terminal, 1024).decode():
            seen += piece
            if lines and seen.endswith(": "):
                os.write(terminal, f"{lines.pop(0)}\n".encode())
    os.close(terminal)
    return seen, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.slow
def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(file: Path) -> None:
    differs = ["a long password", "another password"]
    seen, code = _on_a_terminal(*differs, "a third password", "a third password")

    assert code == 0, seen
    assert seen.count("Password: ") == 2
    assert seen.endswith("ben can sign in as viewer\r\n")
    assert not [word for word in (*differs, "a third password") if word in seen]
    assert is_password("a third password", read_users(file)["ben"].password)


REFUSED = {
    "a new user without a role": (
        ["anna"],
        "a long password",
        "anna is new: say what the user may do, --role viewer or --role operator",
    ),
    "a short password": (
        ["anna", "--role", "viewer"],
        "short",
        "a password must have 10 to 256 characters; this one has 5",
    ),
    "no password": (["anna", "--role", "viewer"], "", "a password must have 10 to 256 characters; this one has 0"),
    "a long password": (
        ["anna", "--role", "viewer"],
        "a" * 257,
        "a password must have 10 to 256 characters; this one has 257",
    ),
    "a removal with a role": (
        ["anna", "--remove", "--role", "viewer"],
        "",
        "--remove takes neither --role nor --token",
    ),
    "a removal with a token": (["anna", "--remove", "--token"], "", "--remove takes neither --role nor --token"),
    "a name that could be another": (
        ["an~na", "--role", "viewer"],
        "a long password",
        "an~na: a name has at most 100 letters, digits and . _ @ + -, and begins with a letter or digit",
    ),
}


@pytest.mark.parametrize(("arguments", "password", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(
    capstone: Run, file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], password: str, why: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))

    assert capstone("ui-user", *arguments) == (1, "", f"capstone: {why}\n")
    assert not file.exists()


@pytest.mark.usefixtures("home")
def test_without_users_the_ui_is_not_served_to_other_machines(capstone: Run) -> None:
    code, _, err = capstone("dev", "--host", "0.0.0.0")  # noqa: S104 -- it does not listen

    assert code == 1
    assert err.startswith("capstone: listening on 0.0.0.0 would open the UI to other machines without a sign-in: set ")


@pytest.mark.usefixtures("home")
def test_without_the_setting_the_command_says_which_one_it_needs(capstone: Run) -> None:
    code, _, err = capstone("ui-user", "anna", "--role", "viewer")

    assert code == 1
    assert err.startswith("capstone: CAPSTONE_UI_USERS is not set: set it to the file of users")
