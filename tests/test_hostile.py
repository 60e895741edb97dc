"""Every hostile input ends in one sentence and its exit code, with nothing written and nothing on stdout."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_gguf
from conftest import Runner, started
from hostile_cases import CASES, Case, run

from tvcli.errors import TvError
from tvcli.prompts.chat import Chat
from tvcli.vector import Provenance, TaskVector, save

pytestmark = pytest.mark.timeout(60)  # seconds, after which an input counts as endless
SHOWN = 2000  # characters of a sentence


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check(case: Case, code: int, stdout: str, stderr: str, written: dict[str, bytes]) -> None:
    assert code == case.code, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    *notes, sentence = stderr.splitlines()
    assert sentence.startswith("tv: ")
    assert len(sentence) < SHOWN
    assert not any(note.startswith("tv: ") for note in notes)
    assert any(words in sentence for words in case.words.split("|")), sentence
    assert re.fullmatch(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f]*", stderr)
    assert written == dict(case.files)


@pytest.mark.parametrize("case", [case for case in CASES if not case.native], ids=lambda case: case.name)
def test_a_hostile_input_is_one_sentence(
    tv: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    case.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in case.env.items():
        monkeypatch.setenv(name, value)
    ran = tv(*case.arguments, stdin=case.stdin, model=case.env.get("TV_MODEL", "fake"))
    check(case, ran.code, ran.out, ran.err, contents(tmp_path))


@pytest.mark.parametrize("case", [case for case in CASES if case.native], ids=lambda case: case.name)
def test_what_only_llama_cpp_notices_is_one_sentence_too(tmp_path: Path, case: Case) -> None:
    ran, _ = run(case, tmp_path)
    check(case, ran.returncode, ran.stdout.decode(), ran.stderr.decode(), contents(tmp_path))


# -- standard streams -------------------------------------------------------------------------------------


def on_a_terminal(*arguments: object, **options: Any) -> tuple[int, str]:
    """Exit code and all that a terminal was given, with stdin, stdout and stderr being one."""
    ours, its = pty.openpty()
    with started(*arguments, stdin=its, stdout=its, stderr=its, **options) as process:
        os.close(its)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # Linux says so when the last one has gone
            pass
    os.close(ours)
    return process.returncode, shown.decode()


def through_a_shell(redirection: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    command = f'exec "$0" -m tvcli "$@" {redirection}'
    here = {"PYTHONPATH": str(Path(__file__).parent.parent), "TV_MODEL": "fake"}
    words = ["sh", "-c", command, sys.executable, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, env={**os.environ, **here}, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "arguments", [["show", "-"], ["prompt", "-i", "-"], ["prompt", "--queries", "-"], ["extract", "-e", "-", "-o", "v"]]
)
def test_a_closed_standard_input_is_said(arguments: list[str]) -> None:
    ran = through_a_shell("<&-", *arguments)
    assert (ran.returncode, ran.stderr) == (2, b"tv: standard input is closed\n")


def test_a_closed_standard_output_is_said_and_no_file_is_taken_for_it(tmp_path: Path) -> None:
    ran = through_a_shell(">&-", "prompt", "-t", "x")
    assert (ran.returncode, ran.stderr) == (1, b"tv: standard output is closed\n")
    path = tmp_path / "v.npy"
    assert through_a_shell(">&- 2>&-", "extract", "--instruction", "x", "-o", path).returncode == 0
    assert np.load(path).shape == (6, 16)
    assert through_a_shell("2>&-", "prompt", "-t", "x").stdout


def test_nobody_types_a_vector_and_no_terminal_is_given_one() -> None:
    code, shown = on_a_terminal("show", "-")
    assert (code, shown) == (2, "tv: standard input is a terminal; pipe a vector into it\r\n")
    code, shown = on_a_terminal("extract", "--instruction", "x", "-o", "-")
    assert (code, shown) == (
        2,
        "tv: a terminal cannot show a vector; name a file, or send standard output into one\r\n",
    )


def test_an_endless_standard_input_ends(tmp_path: Path) -> None:
    with Path("/dev/zero").open("rb") as zeros:
        for arguments, code in [(["show", "-"], 3), (["prompt", "-i", "-"], 3), (["prompt", "--queries", "-"], 2)]:
            with started(*arguments, stdin=zeros, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                assert process.stderr is not None
                [sentence] = process.stderr.read().splitlines()
            assert process.returncode == code
            assert b"larger than 128 MiB" in sentence or b"longer than 1 MiB" in sentence


# -- what reaches a terminal ------------------------------------------------------------------------------

ESCAPES = "\x1b]0;pwned\x07\x1b[2J\x9b31m\r\x08\u202e\u2028\x7f"
DRAWN = re.compile(r"\r\x1b\[K[^\r\x1b]*|\x1b\[\d*(?:;\d+)*m")  # tv's own progress line, and a table's styles


def clean(shown: str) -> bool:
    """No control character but line ends, apart from tv's own drawing."""
    return (
        not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e\u2028]", DRAWN.sub("", shown)) and "pwned" in shown
    )


def hostile_files(folder: Path) -> None:
    task = {"description": ESCAPES, "instruction": f"{ESCAPES}:", "images": ESCAPES}
    (folder / ESCAPES).mkdir()
    (folder / ESCAPES / "task.toml").write_text("".join(f"{k} = {quoted(v)}\n" for k, v in task.items()))
    (folder / ESCAPES / "examples.jsonl").write_text(f'{{"input": {quoted(ESCAPES)}, "output": {quoted(ESCAPES)}}}\n')
    origin = Provenance(
        source=ESCAPES, template=ESCAPES, delimiter=ESCAPES, instruction=ESCAPES, layer_selection=ESCAPES
    )
    save(TaskVector(np.ones((6, 16), np.float32), origin), folder / "v.npy")
    (folder / "m.gguf").write_bytes(bytes(tiny_gguf.model().with_keys(general__type=(tiny_gguf.STRING, ESCAPES))))


def quoted(text: str) -> str:
    return '"' + "".join(f"\\u{ord(c):04x}" if not c.isalnum() else c for c in text) + '"'


@pytest.mark.parametrize(
    "arguments",
    [
        ["prompt", "-t", ESCAPES, "-t", "x", "-v"],
        ["prompt", "-t", ESCAPES, "--json"],
        ["prompt", "-i", f"{ESCAPES}.png"],
        ["prompt", "-t", "x", "-m", ESCAPES],
        ["prompt", "-t", "x", "-m", "m.gguf"],
        ["apply", "v.npy", "-t", "x", "-v"],
        ["show", "v.npy"],
        ["show", "v.npy", "--json"],
        ["tasks", "show", ESCAPES],
        ["tasks", "show", ESCAPES, "--json"],
        ["tasks", "check", ESCAPES],
        ["tasks", "check", f"no-{ESCAPES}"],
        ["eval", "-T", ESCAPES, "--csv", "--query", "text", "--method", "no context", "--layer", "1"],
        [ESCAPES],
        ["prompt", f"--{ESCAPES}"],
        ["extract", "-e", f"{ESCAPES}.txt", "-o", "v"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(ESCAPES, "ESC"),
)
@pytest.mark.parametrize("debug", ["", "1"])
def test_no_control_character_reaches_a_terminal(tmp_path: Path, arguments: list[str], debug: str) -> None:
    hostile_files(tmp_path)
    _, shown = on_a_terminal(*arguments, cwd=tmp_path, env={"TV_DEBUG": debug})
    assert clean(shown), repr(shown)


def test_what_llama_cpp_logs_of_a_file_cannot_drive_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(bytes(tiny_gguf.model().with_keys(general__name=(tiny_gguf.STRING, ESCAPES))))
    code, shown = on_a_terminal("prompt", "-t", "x", "-m", "m.gguf", "-n", 1, cwd=tmp_path, env={"TV_DEBUG": "1"})
    assert code == 0
    assert clean(shown), repr(shown)


@pytest.mark.parametrize("debug", ["", "1"])
def test_an_access_token_is_never_shown(tmp_path: Path, debug: str) -> None:
    token = "hf_" + "aBcD0123" * 4
    hub = {
        "HF_TOKEN": token,
        "HF_HOME": str(tmp_path),
        "HF_ENDPOINT": f"http://user:{token}@127.0.0.1:9",
        "TV_DEBUG": debug,
    }
    for arguments in (["prompt", "-t", "x", "-m", "owner/repo"], ["prompt", "-i", f"{token}.png"], ["tasks", "pull"]):
        code, shown = on_a_terminal(*arguments, cwd=tmp_path, env={**hub, "TV_DEBUG": debug})
        assert code == 3
        assert "tv: " in shown
        assert "aBcD0123" not in shown


# -- code in data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "not done after|time"),
        ("{{ 'a' * 10**10 }}", "memory"),
        ("{{ 'a'.ljust(10**10) }}", "memory"),
        ("{{ '%10000000000d' % 1 }}", "memory|too big"),
        ("{{ 10 ** (10 ** 10) }}", "time|memory|not done"),
        ("{{ 'a' * 2000000 }}", "a text of 2000000 characters"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe|no attribute|undefined"),
        ("{{ cycler.__init__.__globals__.os.system('touch pwned') }}", "unsafe|no attribute|undefined"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ raise_exception('no') }}", "no"),
        ("{% for %}", "xpected"),
        ("\ue0007\ue001", "makes up messages"),
    ],
)
def test_a_hostile_chat_template_ends_without_harm(
    template: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tvcli.prompts.jinja_process.SECONDS", 3)
    with pytest.raises(TvError, match=words) as caught:
        Chat(template).render([("x", None)])
    assert str(caught.value).startswith("the model's chat template cannot be used: ")
    assert list(tmp_path.iterdir()) == []


def test_a_useful_chat_template_is_rendered_once_a_shape() -> None:
    template = "{% for m in messages %}<{{ m.role }}>{{ m['content'] | trim }}{% endfor %}"
    prompt = Chat(template).render([("x {{ 1 }}", "y"), ("z", None)], system="s")
    assert "".join(map(str, prompt.parts)) == "<system>s<user>x {{ 1 }}<assistant>y<user>z"


def test_a_link_in_an_archive_is_only_a_file(tv: Runner, tmp_path: Path) -> None:
    import stat
    import zipfile

    link = zipfile.ZipInfo("images/a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "i.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("t_test.json", '[{"input": "x", "image": "images/a.png", "output": "y"}]')
    ran = tv("tasks", "pull", "--annotations", tmp_path / "a.zip", "--images", tmp_path / "i.zip", "-o", tmp_path / "o")
    assert ran.code == 0
    assert not (tmp_path / "o/images/a.png").is_symlink()
    assert (tmp_path / "o/images/a.png").read_text() == "/etc/passwd"
