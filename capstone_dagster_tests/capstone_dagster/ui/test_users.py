"""The file of users: what is kept of passwords and tokens, and which files are refused."""

import json
import os
import threading
from pathlib import Path

import pytest

from capstone_dagster.ui.private_files import PrivateFileError
from capstone_dagster.ui.users import (
    Account,
    Users,
    change_user,
    hash_of_password,
    hash_of_token,
    is_password,
    new_token,
    read_users,
)
from capstone_dagster_tests.builders.ui_users import put_user, quick_hash

HASH = hash_of_password("a long password")
ANNA, BEN = Account(role="operator", password=HASH), Account(role="viewer", token=hash_of_token("ben's token"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "users.json"
    put_user(file, "anna", ANNA)
    put_user(file, "ben", BEN)
    return file


def test_a_password_is_known_by_its_hash_alone() -> None:
    assert is_password("a long password", HASH)
    assert not is_password("a long passwore", HASH)
    assert not is_password("", HASH)
    assert not is_password("a long password", None)
    assert HASH.startswith("scrypt$32768$8$3$")
    assert hash_of_password("a long password") != HASH


def test_a_hash_that_was_made_with_less_work_is_still_understood() -> None:
    assert is_password("abc", quick_hash("abc"))
    assert not is_password("abd", quick_hash("abc"))


def test_the_file_is_for_its_user_alone_and_holds_no_password_and_no_token(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text()) == {
        "anna": {"role": "operator", "password": HASH},
        "ben": {"role": "viewer", "token": hash_of_token("ben's token")},
    }
    assert [each.name for each in file.parent.iterdir() if not each.name.endswith(".lock")] == ["users.json"]


def test_a_change_of_the_file_counts_at_once(file: Path) -> None:
    users = Users(file)
    assert users.accounts() == {"anna": ANNA, "ben": BEN}
    assert users.with_token("ben's token") == "ben"

    put_user(file, "ben", None)

    assert users.accounts() == {"anna": ANNA}
    assert users.with_token("ben's token") is None
    file.unlink()
    with pytest.raises(
        PrivateFileError,
        match=r"users\.json does not exist; create it with: capstone ui-user NAME",
    ):
        users.accounts()


def test_two_tokens_are_never_alike_and_nobody_has_an_empty_one(file: Path) -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) >= 43
    assert Users(file).with_token("") is None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)

    with pytest.raises(PrivateFileError, match=f"other users have access to {file}; remove it: chmod 600"):
        read_users(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(file: Path) -> None:
    file.chmod(0o644)
    os.chown(file, 12345, 12345)

    with pytest.raises(PrivateFileError, match="belongs to another user"):
        read_users(file)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("", None),
        ("anna:operator", None),
        ("[]", None),
        ('{"anna": "operator"}', "anna"),
        ('{"anna": {}}', "anna.role"),
        ('{"anna": {"role": "admin"}}', "anna.role"),
        ('{"anna": {"role": "viewer", "password": "in plain text"}}', "anna.password"),
        ('{"anna": {"role": "viewer", "token": "in plain text"}}', "anna.token"),
        ('{"anna": {"role": "viewer", "roles": []}}', "anna.roles"),
        ('{"an~na": {"role": "viewer"}}', "an~na.[key]"),
    ],
)
def test_what_is_no_file_of_users_is_refused_without_showing_what_it_holds(
    tmp_path: Path, text: str, entry: str | None
) -> None:
    file = tmp_path / "users.json"
    file.write_text(text)
    file.chmod(0o600)

    with pytest.raises(PrivateFileError) as error:
        read_users(file)

    wrong = f"the entry '{entry}'" if entry else "it"
    assert str(error.value) == (
        f"CAPSTONE_UI_USERS: {file} is not a valid users file: {wrong} is not in the format that capstone ui-user "
        "writes; repair it, or remove it and add the users again"
    )


@pytest.mark.parametrize(
    "stored",
    [
        *("scrypt$32767$8$3$YQ==$YQ==", "scrypt$1$8$1$YQ==$YQ==", "scrypt$2$0$1$YQ==$YQ==", "scrypt$2$1$0$YQ==$YQ=="),
        *("scrypt$4194304$8$1$YQ==$YQ==", "scrypt$65536$1$1$YQ==$YQ==", "scrypt$2$1$1$YQ$YQ==", "scrypt$2$1$1$YQ==$Y"),
    ],
)
def test_a_hash_that_could_not_be_checked_is_refused_when_the_file_is_read(tmp_path: Path, stored: str) -> None:
    file = tmp_path / "users.json"
    file.write_text(json.dumps({"anna": {"role": "viewer", "password": stored}}))
    file.chmod(0o600)

    with pytest.raises(PrivateFileError, match=r"the entry 'anna\.password' is not in the format"):
        read_users(file)


def test_a_place_that_cannot_be_used_is_an_error_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PrivateFileError, match="cannot be read: File name too long"):
        read_users(tmp_path / ("u" * 300))
    (tmp_path / "a file").touch()
    with pytest.raises(PrivateFileError, match=r"users\.json cannot be written: "):
        put_user(tmp_path / "a file" / "users.json", "anna", ANNA)


def test_changes_of_a_user_at_the_same_time_are_all_kept(file: Path) -> None:
    begin = threading.Barrier(2)

    def change(update: dict[str, str]) -> None:
        begin.wait()
        change_user(file, "anna", lambda known: known.model_copy(update=update) if known else None)

    updates = [{"role": "viewer"}, {"token": hash_of_token("anna's token")}]
    threads = [threading.Thread(target=change, args=[update]) for update in updates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read_users(file)["anna"] == ANNA.model_copy(update=updates[0] | updates[1])
