"""The home and what lies in it: this user's alone, or refused in one sentence."""

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from capstone_dagster.run_storage.private_folders import (
    FolderError,
    is_private,
    own_folder,
    own_home,
    recorded_folder,
    short_folder,
)

ANOTHER = pwd.getpwnam("nobody").pw_uid


def refusal(of: Callable[[Path], None], folder: Path) -> str:
    with pytest.raises(FolderError) as refused:
        of(folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def of_another(folder: Path) -> Path:
    """A folder that another user has made: of root's tests nobody, of everybody else's root."""
    if os.geteuid() != 0:
        return Path("/usr")
    folder.mkdir()
    os.chown(folder, ANOTHER, -1)
    return folder


def as_another(do: Callable[[], object]) -> str:
    """What is said to a user who is not root, whom no mode would keep out."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setuid(ANOTHER)
            do()
        except FolderError as refused:
            os.write(writer, str(refused).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as said:
        return said.read()


def test_a_new_home_is_closed_to_others_and_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    new, old = tmp_path / "some" / "where", tmp_path / "old"
    old.mkdir(mode=0o755)

    for home in (new, old, old):
        own_home(home)

    assert new.stat().st_mode & 0o777 == 0o700
    assert old.stat().st_mode & 0o777 == 0o755


def test_a_home_of_another_user_is_refused_with_both_names(tmp_path: Path) -> None:
    home = of_another(tmp_path / "home")

    me, maker = pwd.getpwuid(os.geteuid()).pw_name, pwd.getpwuid(home.stat().st_uid).pw_name
    said = f"CAPSTONE_HOME: {home} was made by {maker}, and you are {me}; name a folder of your own"
    assert refusal(own_home, home) == said


def test_a_home_that_everybody_may_write_into_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)

    assert (
        refusal(own_home, tmp_path) == f"CAPSTONE_HOME: every user can write to {tmp_path}; name a folder of your own"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_home_that_cannot_be_written_is_one_sentence() -> None:
    with TemporaryDirectory() as folder:  # pytest closes its own to other users, again and again
        Path(folder).chmod(0o755)
        home = of_another(Path(folder, "home"))
        home.chmod(0o500)

        assert f"{home} cannot be written; allow it (chmod u+rwx)" in as_another(lambda: own_home(home))
        assert "cannot be created: Permission denied" in as_another(lambda: own_home(Path(folder, "new")))


def test_a_home_that_is_a_file_or_below_one_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert refusal(own_home, tmp_path / "file").endswith("cannot be created: File exists")
    assert refusal(own_home, tmp_path / "file" / "home").endswith("cannot be created: Not a directory")


def test_a_folder_in_the_home_is_closed_to_others_also_if_an_earlier_release_left_it_open(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir(mode=0o755)

    for name in ("logs", "dagster"):
        own_folder(tmp_path / name)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700


def test_a_folder_in_the_home_that_another_user_has_made_is_refused(tmp_path: Path) -> None:
    assert "was made by" in refusal(own_folder, of_another(tmp_path / "logs"))


def test_a_link_in_the_place_of_a_folder_is_refused_and_what_it_leads_to_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "logs").symlink_to(tmp_path / "elsewhere")

    assert refusal(own_folder, tmp_path / "logs") == f"{tmp_path / 'logs'} is not a folder; remove it"
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o755


def test_a_short_folder_stays_the_same_while_it_is_this_user_s(tmp_path: Path) -> None:
    record = tmp_path / "record"
    folder = short_folder(record, None)
    assert is_private(folder, None)
    assert short_folder(record, None) == folder == recorded_folder(record)

    folder.rmdir()  # the temp directory was emptied
    assert short_folder(record, None) == folder
    assert is_private(folder, None)
    folder.rmdir()


@pytest.mark.parametrize("taken_by", ["a link", "an open folder", "a folder of another user"])
def test_a_short_folder_whose_name_was_taken_is_left_alone(tmp_path: Path, taken_by: str) -> None:
    record, taken = tmp_path / "record", tmp_path / "capstone-taken"
    record.write_text(str(taken))
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    if taken_by == "a link":
        taken.symlink_to(target)
    elif taken_by == "an open folder":
        taken.mkdir()
        taken.chmod(0o777)
    elif of_another(taken) != taken:
        pytest.skip("needs another user")
    before = taken.lstat()

    folder = short_folder(record, None)

    assert folder != taken
    assert (taken.lstat().st_uid, taken.lstat().st_mode) == (before.st_uid, before.st_mode)
    folder.rmdir()


@pytest.mark.parametrize("torn", ["", "/", "relative/capstone-x", "/etc", "\0"])
def test_a_torn_record_names_no_folder(tmp_path: Path, torn: str) -> None:
    (tmp_path / "record").write_text(torn)

    assert recorded_folder(tmp_path / "record") is None
