"""What becomes of a file that is written: whole or not at all, where it was meant to go, and nobody's input."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from tvcli.errors import UnavailableError, UsageError
from tvcli.files import beside, check_not_input, check_target, replacing, toml_value

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def write(path: Path, text: str = "new") -> None:
    check_target(path)
    with replacing(path) as temporary:
        temporary.write_text(text)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755])
def test_a_file_that_is_replaced_keeps_its_mode_also_behind_a_link(tmp_path: Path, mode: int) -> None:
    path, link = tmp_path / "old", tmp_path / "link"
    path.write_text("old")
    path.chmod(mode)
    link.symlink_to(path)
    write(link)
    assert link.is_symlink()
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", mode)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["link", "old"]


def test_what_only_its_owner_may_read_is_not_readable_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(0o600)
    with replacing(path) as temporary:
        temporary.write_text("x")
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_a_loop_of_links_is_one_sentence(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    for attempt in (check_target, write):
        with pytest.raises(UnavailableError, match="loop cannot be written: too many levels of symbolic links"):
            attempt(loop)


@pytest.mark.parametrize("length", [140, 141, 200, 255])
@pytest.mark.parametrize("letter", ["n", "ü"])
def test_a_name_may_be_as_long_as_the_file_system_lets_it(tmp_path: Path, length: int, letter: str) -> None:
    path = tmp_path / (letter * (length // len(letter.encode())))
    write(path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_longer_name_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be written: file name too long"):
        check_target(tmp_path / ("n" * 256))
    with pytest.raises(UnavailableError, match="cannot be written: embedded null"):
        check_target(tmp_path / "a\0b")


def test_names_made_of_others_are_different_and_never_too_long() -> None:
    names = [beside(Path("x") / name, ".lock").name for name in ("a", "a" * 200, "a" * 201, "b" * 200)]
    assert names[0] == "a.lock"
    assert len(set(names)) == 4
    assert all(len(name) < 141 and name.endswith(".lock") for name in names)


def test_what_a_killed_process_left_of_a_long_name_is_swept(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    with replacing(path) as temporary:
        temporary.write_text("x")
        mine = temporary.name.removesuffix(str(os.getpid()))
    (tmp_path / f"{mine}{2**22 + 5}").touch()  # above Linux's largest process number
    write(path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


WRITES = "from pathlib import Path; from tvcli.files import *; import sys\n"
WRITES += "check_target(Path(sys.argv[1]))\nwith replacing(Path(sys.argv[1])) as temporary: temporary.write_text('new')"


def shell(command: str, folder: Path) -> str:
    """`write` is a program that writes "new" to the file that it is given."""
    define = f'write() {{ PYTHONPATH="{ROOT}" "{sys.executable}" -c "$CODE" "$1"; }}\n'
    ran = subprocess.run(
        ["bash", "-euc", define + command],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "CODE": WRITES},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="names of open files")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("write /dev/stdout | cat", "new"),
        ("write /dev/stdout > f; cat f", "new"),
        ("echo old > f; write /dev/stdout >> f; cat f", "old\nnew"),
        ("{ echo a; write /dev/stdout; echo b; } > f; cat f", "a\nnewb\n"),
        ("write /dev/fd/3 3> f; cat f", "new"),
        ("ln -s /dev/stdout l; write l | cat; test -L l", "new"),
        ("write >(cat > f); sleep 0.5; cat f", "new"),
        ("mkfifo p; cat p > f & write p; wait; cat f", "new"),
        ("write /dev/null", ""),
    ],
)
def test_pipes_and_open_files_are_written_where_they_stand(tmp_path: Path, command: str, said: str) -> None:
    assert shell(command, tmp_path) == said


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="names of open files")
def test_a_descriptor_that_is_not_open_is_refused_before_the_work() -> None:
    with pytest.raises(UnavailableError, match="cannot be written: bad file descriptor"):
        check_target(Path("/dev/fd/987"))


def test_a_write_protected_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old"
    path.touch(0o444)
    monkeypatch.setattr("os.access", lambda asked, mode: asked != path)  # root may write anything
    with pytest.raises(UnavailableError, match="old cannot be written: permission denied"):
        check_target(path)


def test_an_input_is_known_by_whatever_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.txt"
    path.touch()
    os.link(path, tmp_path / "hard")
    (tmp_path / "soft").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    for output in (path, tmp_path / "hard", tmp_path / "soft", Path("in.txt"), tmp_path / "." / "in.txt"):
        with pytest.raises(UsageError, match=r"the output .* is also an input"):
            check_not_input(output, [None, Path("none"), path])
    (tmp_path / "other").touch()
    check_not_input(tmp_path / "other", [path])
    check_not_input(tmp_path / "new", [path, tmp_path / "new"])
    check_not_input(Path("/dev/null"), [Path("/dev/null")])  # which nothing destroys


@pytest.mark.parametrize("text", ["🦙 x", 'a"b\\c', "d\x7fe", "\x00\x1f\t\n", "é\u2028", ""])
def test_any_text_is_toml(text: str) -> None:
    assert tomllib.loads(f"key = {toml_value(text)}\nkeys = {toml_value([text, 'x'])}") == {
        "key": text,
        "keys": [text, "x"],
    }


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UsageError, match="is not UTF-8 and cannot be written to a TOML file"):
        toml_value("caf\udce9")
