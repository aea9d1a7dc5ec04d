"""The command ``capstone ui-user``: who may sign in to the UI, and as what."""

import sys
from pathlib import Path

import click
from pydantic import TypeAdapter, ValidationError

from capstone_dagster.run_storage.private_folders import own_home
from capstone_dagster.settings import Settings, SettingsError
from capstone_dagster.ui.users import (
    Account,
    Name,
    Role,
    change_user,
    hash_of_password,
    hash_of_token,
    new_token,
    read_users,
)
from capstone_dagster.wording import say
from spark_code.errors import ExpectedError

_SHORTEST, _LONGEST = 10, 1000


class UiUserError(ExpectedError):
    """A name, a password or a combination of options that cannot be used."""


@click.command("ui-user")
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator"]), help="What the user may do; a new user needs one.")
@click.option("--token", is_flag=True, help="Print a new token for scripts, instead of asking for a password.")
@click.option("--remove", is_flag=True, help="Remove the user, whose sessions and token end at once.")
def ui_user(name: str, role: Role | None, token: bool, remove: bool) -> None:
    """Let NAME sign in to the UI, with a password that is asked for or read from stdin.

    A viewer sees everything, and an operator also launches and stops runs. For a user who is there already, a new
    password ends all sessions, and a new token takes the place of the old one. The file is that of CAPSTONE_UI_USERS.
    """
    settings = Settings.from_environment()
    file = settings.ui_users
    if file is None:
        raise SettingsError(
            "CAPSTONE_UI_USERS is not set: set it to the file of users, such as .capstone/ui_users.json"
        )
    own_home(settings.home)  # the file may be the first thing in it
    known = read_users(file).get(name) if file.exists() else None
    if remove:
        _remove(file, name, known)
        return
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UiUserError(
            f"{name}: a name has at most 100 letters, digits and . _ @ + -, and begins with a letter or digit"
        ) from None
    role = role or (known.role if known else None)
    if role is None:
        raise UiUserError(f"{name} is new: say what the user may do, --role viewer or --role operator")
    old = known or Account(role=role)
    secret = new_token() if token else _password()
    hashed = {"token": hash_of_token(secret)} if token else {"password": hash_of_password(secret)}
    change_user(file, name, old.model_copy(update={"role": role, **hashed}))
    if token:
        click.echo(secret)  # not with say: scripts read this line
    else:
        say(f"{name} can sign in as {role}")


def _remove(file: Path, name: str, known: Account | None) -> None:
    if known is None:
        raise UiUserError(f"{name} is not in {file}")
    change_user(file, name, None)
    say(f"{name} is removed from {file}")


def _password() -> str:
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise UiUserError(f"a password has {_SHORTEST} to {_LONGEST:,} characters, and this one has {len(password)}")
    return password
