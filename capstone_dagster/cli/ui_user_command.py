"""The command ``capstone ui-user``: who may sign in to the UI, and in which role."""

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
    known_user,
    new_token,
)
from capstone_dagster.wording import say
from spark_code.errors import ExpectedError

_SHORTEST, _LONGEST = 10, 256


class UiUserError(ExpectedError):
    """A name, a password or a combination of options that cannot be used."""


@click.command("ui-user")
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator"]), help="What the user may do; a new user needs one.")
@click.option("--token", is_flag=True, help="Print a new token for scripts, instead of asking for a password.")
@click.option("--remove", is_flag=True, help="Remove the user, whose sessions and token end at once.")
def ui_user(name: str, role: Role | None, token: bool, remove: bool) -> None:
    """Let NAME sign in to the UI, with a password that is asked for or read from stdin.

    A viewer sees everything, and an operator also launches and stops runs. For a known user, --role changes the role
    alone, a new password ends all sessions, and a new token replaces the old one. CAPSTONE_UI_USERS names the file.
    """
    settings = Settings.from_environment()
    file = settings.ui_users
    if file is None:
        raise SettingsError(
            "CAPSTONE_UI_USERS is not set: set it to the file of users, such as .capstone/ui_users.json"
        )
    own_home(settings.home)  # the file may be the first thing in it
    if remove:
        if role or token:
            raise UiUserError("--remove takes neither --role nor --token")
        change_user(file, name, lambda known: _removed(file, name, known))
        say(f"{name} is removed from {file}")
        return
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UiUserError(
            f"{name}: a name has at most 100 letters, digits and . _ @ + -, and begins with a letter or digit"
        ) from None
    known = known_user(file, name)
    account = _with_role(name, known, role)  # before a password is asked for
    secret = new_token() if token else None if known and role else _password()
    hashed = {} if secret is None else _hashed(secret, token)
    change_user(file, name, lambda known: _with_role(name, known, role).model_copy(update=hashed))
    if token:
        click.echo(secret)  # not with say: scripts read this line
    elif secret:
        say(f"{name} can sign in as {account.role}")
    else:
        say(f"{name} is now {account.role}; password and token are unchanged")


def _removed(file: Path, name: str, known: Account | None) -> None:
    if known is None:
        raise UiUserError(f"{name} is not in {file}")


def _with_role(name: str, known: Account | None, role: Role | None) -> Account:
    if role:
        return known.model_copy(update={"role": role}) if known else Account(role=role)
    if known is None:
        raise UiUserError(f"{name} is new: say what the user may do, --role viewer or --role operator")
    return known


def _hashed(secret: str, is_token: bool) -> dict[str, str]:
    return {"token": hash_of_token(secret)} if is_token else {"password": hash_of_password(secret)}


def _password() -> str:
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt="Repeat the password", err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise UiUserError(f"a password must have {_SHORTEST} to {_LONGEST} characters; this one has {len(password)}")
    return password
