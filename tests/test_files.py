"""Where a file can be written, before it is."""

from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest

from tvcli.errors import UnavailableError, UsageError
from tvcli.files import check_target, in_any_form


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


# -- Unicode forms of names -----------------------------------------------------------------------------------


Form = Literal["NFC", "NFD"]


@pytest.mark.parametrize("there", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_a_file_is_found_under_any_form_of_its_name(there: Form, asked: Form, tmp_path: Path) -> None:
    name = "Sãos/é ü.jpg"
    file, wanted = (tmp_path / normalize(form, name) for form in (there, asked))
    file.parent.mkdir()
    file.touch()
    (tmp_path / "plain").mkdir()
    found = in_any_form(tmp_path / "plain" / ".." / wanted.relative_to(tmp_path))
    assert found.samefile(file)


def test_what_is_there_in_no_form_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    for path in (tmp_path / "é.jpg", tmp_path / "no folder" / "é.jpg", tmp_path / "other" / "x", Path("é")):
        assert in_any_form(path) == path
    long = tmp_path / ("x" * 300)
    assert in_any_form(long) == long
