"""Every hostile input ends in one sentence and its exit code, with nothing written and nothing on stdout."""

import re
from pathlib import Path

import pytest
from conftest import Runner
from hostile_cases import CASES, Case, run

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
