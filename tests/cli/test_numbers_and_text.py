"""No number that is none, and no table over nothing; text comes out as it went in, unless it harms a terminal."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_gguf
from conftest import DATA, Runner, started

from tvcli.cli.output import out, visible
from tvcli.errors import TvError


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`words` has no pictures, `pictures` no words, `tests` nothing to choose a layer on."""
    monkeypatch.chdir(tmp_path)
    flag = str(DATA / "flags" / "fr.png")
    kinds: dict[str, dict[str, str]] = {"words": {"input": "x"}, "pictures": {"image": flag}, "tests": {"input": "x"}}
    for name, given in kinds.items():
        Path(name).mkdir()
        (Path(name) / "task.toml").write_text('description = "d"\ninstruction = "i:"\n')
        lines = []
        for number in range(16):
            text = {"input": f"x{number}"} if "input" in given else {}
            split = "validation" if number < 8 and name != "tests" else "test"
            lines.append(json.dumps({**given, **text, "output": f"y{number}", "split": split}))
        (Path(name) / "examples.jsonl").write_text("\n".join(lines))
    return tmp_path


NO_TEST = "task {} has no test samples with {}"
NOTHING: list[tuple[list[Any], str]] = [
    *(
        (["eval", "-T", "words", "--query", "image", "--seeds", 1, *more], NO_TEST.format("words", "image"))
        for more in (["--layer", 2], ["--layer", 2, "--json"], ["--layer", 2, "--csv"], [], ["--method", "prompt"])
    ),
    (["eval", "-T", "words"], NO_TEST.format("words", "image")),
    (["eval", "-T", "pictures", "--query", "text", "--layer", 1], NO_TEST.format("pictures", "text")),
    (
        ["eval", "-T", "words", "-T", "tests", "--query", "image"],
        "tasks words, tests have no test samples with image",
    ),
    (
        ["eval", "-T", "tests", "--query", "text"],
        "no validation samples with text to choose the layer on; give --layer",
    ),
    (["paper", "table2", "-T", "words"], NO_TEST.format("words", "image")),
    (["paper", "all", "-T", "words"], NO_TEST.format("words", "image")),
    (["report", "-T", "words", "-o", "r.html"], NO_TEST.format("words", "image")),
    (["lens", "-T", "words", "--source", "image"], "task words has no validation samples with image"),
    (["lens", "-T", "words", "--source", "both", "--json"], "task words has no validation samples with image"),
    (["lens", "-T", "pictures"], "task pictures has no validation samples with text"),
    (["lens", "-T", "tests"], "task tests has no validation samples with text"),
    (["map", "-T", "words", "--source", "image"], "a map needs at least 3 vectors, not 0"),
]


@pytest.mark.usefixtures("tasks")
@pytest.mark.parametrize(("arguments", "said"), NOTHING, ids=str)
def test_there_is_no_table_over_nothing(tv: Runner, arguments: list[Any], said: str) -> None:
    ran = tv(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err.splitlines()[-1]
    assert "nan" not in ran.err
    assert not Path("r.html").exists()


@pytest.mark.usefixtures("tasks")
def test_where_an_option_is_none_of_the_command_it_is_not_recommended(tv: Runner) -> None:
    for command in (["report", "-o", "r.html"], ["paper", "table2"]):
        Path("tests/examples.jsonl").write_text(
            "\n".join(json.dumps({"input": "x", "output": "y", "image": str(DATA / "flags/fr.png")}) for _ in range(9))
        )
        ran = tv(*command, "-T", "tests")
        assert (ran.code, ran.err) == (
            2,
            "tv: task tests has no validation samples with image to choose the layer on\n",
        )


@pytest.mark.usefixtures("tasks")
def test_a_task_that_lacks_what_others_have_is_named_and_left_out(tv: Runner) -> None:
    ran = tv("eval", "-T", "words", "-T", "pictures", "--query", "text", "--method", "no context")
    assert ran.code == 0
    assert "warning: task pictures: 16 samples have no text and are skipped" in ran.err
    assert [line.split("\t")[0] for line in ran.out.splitlines()] == ["task", "words", "average"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_holds_numbers_only(number: float, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TvError, match="contains NaN or infinity"):
        out.record({"a": [1, {"b": number}]})
    assert capsys.readouterr().out == ""


# -- text -------------------------------------------------------------------------------------------------

KEPT = {
    "a Persian word": "مي\u200cخواهم",
    "a joiner": "ක්\u200dෂ",
    "French": "a\u00a0b\u202fc",
    "Japanese": "東京\u3000タワー",
    "an emoji that Python may not know": "\U0001fae9",
    "a code point that nobody uses": "\U000323b0",
    "England's flag": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "a family": "👨\u200d👩\u200d👧 ❤\ufe0f",
    "marks of direction": "\u200eא\u200f\u061c",
    "private use": "\ue000",
    "a soft hyphen": "co\u00adop",
    "a word joiner": "a\u2060b\ufeff",
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_text_comes_out_as_it_went_in(tv: Runner, text: str) -> None:
    assert visible(text) == text
    ran = tv("prompt", "-t", text, "-t", "x")
    assert ran.out.splitlines()[0].split("\t")[0] == text
    assert f'"input": "{text}"' in tv("prompt", "-t", text, "--json").out


def test_what_can_harm_a_terminal_is_escaped_and_nothing_else() -> None:
    controls = [*range(0x20), *range(0x7F, 0xA0)]
    bidi = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
    harmful = {*controls, *bidi, 0x2028, 0x2029, *range(0xD800, 0xE000)}
    escaped = {code for code in range(0x110000) if visible(chr(code)) != chr(code)}
    assert escaped == harmful
    assert visible("a\tb\nc\r\x1b[0m\u202e\u2028\ud800\x85") == "a\\tb\\nc\\r\\x1b[0m\\u202e\\u2028\\ud800\\x85"


def test_escaped_json_says_the_same(tv: Runner) -> None:
    text = "".join(chr(code) for code in (1, 0x7F, 0x85, 0x202E, 0x2028, 0x2067, 0x3000, 0xE0067))
    ran = tv("prompt", "-t", f"x{text}x", "--json")
    assert json.loads(ran.out)["input"] == f"x{text}x"
    assert "\u202e" not in ran.out
    assert len(ran.out.splitlines()) == 1


# -- numbers that do nothing ------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", ["0", "5"])
def test_layers_for_a_gpu_that_is_not_there_are_warned_of(tmp_path: Path, layers: str) -> None:
    (tmp_path / "m.gguf").write_bytes(bytes(tiny_gguf.model()))
    arguments = ["prompt", "-t", "x", "-m", "m.gguf", "-n", "1", "--threads", "1", "--gpu-layers", layers]
    with started(*arguments, cwd=tmp_path, stdout=-1, stderr=-1) as ran:
        _, said = ran.communicate(timeout=60)
    assert ran.returncode == 0, said
    if b"does nothing" not in said and layers == "5":
        pytest.skip("llama.cpp finds a GPU")
    wanted = b"warning: --gpu-layers does nothing: llama.cpp finds no GPU\n" if layers == "5" else b""
    assert said == wanted
