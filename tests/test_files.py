"""Where a file can be written, before it is."""

from pathlib import Path

import pytest

from tvcli.errors import UnavailableError, UsageError
from tvcli.files import check_target


def test_a_file_can_go_to_a_new_name_an_old_file_and_a_device(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    (tmp_path / "link").symlink_to(tmp_path / "old")
    for path in (tmp_path / "new", tmp_path / "old", tmp_path / "link", Path("/dev/null"), Path("here")):
        check_target(path)
    (tmp_path / "dangling").symlink_to(tmp_path / "no" / "such")
    for path in (tmp_path / "no" / "such", tmp_path / "dangling"):
        with pytest.raises(UsageError, match="does not exist"):
            check_target(path)


def test_a_folder_is_no_file_and_one_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnavailableError, match="is a directory"):
        check_target(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(UnavailableError, match="permission denied"):
        check_target(tmp_path / "new")
