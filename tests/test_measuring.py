"""How time, memory and costs are measured, what a child process sends, and the report, all without waiting for any."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import math
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image as Pillow

from tvcli import plots
from tvcli.doctor import isolated
from tvcli.doctor.isolated import DiedError
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Patch, Settings
from tvcli.errors import TvError
from tvcli.inputs.tasks import Sample, Task
from tvcli.method.extract import from_examples, tv_version
from tvcli.models.opening import ModelRequest
from tvcli.paper import cost, report
from tvcli.paper import memory as peak
from tvcli.paper.cost import Cost, measure_cost, memory_of, model_options
from tvcli.paper.report import Section, render, sections
from tvcli.paper.study import Study, Table
from tvcli.prompts.prompt import Example, Prompt, few_shot, zero_shot
from tvcli.timing import interleaved, timed
from tvcli.vector import ModelInfo, load

# -- time -------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still but for what it is told."""
    now = [100.0]

    def advance(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return advance


def test_work_is_timed_in_seconds(clock: Callable[[float], None]) -> None:
    assert timed(lambda: clock(0.25)) == 0.25


def test_works_take_turns_after_a_first_time_that_is_not_counted(clock: Callable[[float], None]) -> None:
    calls: list[str] = []

    def work(name: str, seconds: Iterable[float]) -> Callable[[], None]:
        left = iter(seconds)

        def run() -> None:
            calls.append(name)
            clock(next(left))

        return run

    assert interleaved(work("a", [64, 1, 8, 2]), work("b", [128, 16, 4, 32]), rounds=3) == [2, 16]
    assert "".join(calls) == "ab" * 4


# -- memory -----------------------------------------------------------------------------------------------


class Ran:
    """Stands for `subprocess.run`."""

    def __init__(self, stdout: str, stderr: str = "") -> None:
        self.stdout, self.stderr = stdout, stderr
        self.calls: list[tuple[object, dict[str, object]]] = []

    def __call__(self, command: object, **options: object) -> Ran:
        self.calls.append((command, options))
        return self


def test_memory_is_measured_by_a_parent_that_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Ran("0 3000\n")
    monkeypatch.setattr(subprocess, "run", ran)
    assert peak.peak_megabytes(["tv", "x"]) == 3000 * peak.UNIT / 1e6
    options = {"capture_output": True, "check": True, "encoding": "utf-8", "errors": "replace"}
    assert ran.calls == [([sys.executable, "-I", "-c", peak.PARENT, "tv", "x"], options)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("code", "said", "sentence"),
    [
        (1, "first\ntv: no such file\n", "failed with exit code 1: no such file"),
        (3, "", "failed with exit code 3: it gave no reason"),
        (-9, "\n \n", "was ended by SIGKILL: it gave no reason"),
        (-11, "words: tv: x\n\n", "was ended by SIGSEGV: words: tv: x"),
    ],
)
def test_a_process_that_failed_says_why(monkeypatch: pytest.MonkeyPatch, code: int, said: str, sentence: str) -> None:
    monkeypatch.setattr(subprocess, "run", Ran(f"{code} 3000", said))
    with pytest.raises(TvError) as caught:
        peak.peak_megabytes(["x"])
    assert str(caught.value) == f"the memory of another process cannot be measured: it {sentence}"


def test_a_system_without_that_count_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", {"resource": None}.__getitem__)
    assert math.isnan(peak.peak_megabytes(["x"]))


# -- cost -------------------------------------------------------------------------------------------------

SAMPLES = tuple(Sample(f"x{i}", (f"y{i}",), Path("no picture")) for i in range(50))  # asked in words
TASK = Task("t", Path(), "d", "i:", validation=SAMPLES[:20], test=SAMPLES[20:])


def test_a_prompt_of_thirty_long_examples_is_measured_against_a_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [Example(cost.LONG.format(x=f"x{i}"), f"y{i}") for i in range(1, 31)]
    request, engine, asked = ModelRequest("fake"), FakeEngine(), []  # type: ignore[var-annotated]

    def memory(command: Sequence[object], x: str, given: ModelRequest) -> float:
        assert (x, given) == ("x20", request)
        name, *rest = command
        file = next(Path(part) for part in rest if isinstance(part, Path))
        if name == "prompt":
            assert rest == ["--examples", file, "--shots", 30]
            lines = file.read_text("utf-8").splitlines()
            assert file.suffix == ".jsonl"
            assert [json.loads(line) for line in lines] == [{"input": e.input, "output": e.output} for e in examples]
            return 11
        assert (name, rest) == ("apply", [file])
        vector = load(file)
        assert np.array_equal(vector.rows, from_examples(engine, examples[:10]).rows)
        return 22

    def seconds(work: Callable[[], object], *, rounds: int) -> list[float]:
        assert rounds == 5
        work()
        return [len(asked) / 8]

    class Asked(FakeEngine):
        def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
            [patch] = patches
            asked.append((*prompts, patch and (patch.layer, patch.row.tolist())))
            return super().logits(prompts, patches)

    monkeypatch.setattr(cost, "memory_of", memory)
    monkeypatch.setattr(cost, "interleaved", seconds)
    shown, bare = few_shot("x20", examples, shots=30, seed=1), zero_shot("x20")
    assert measure_cost(Asked(), request, TASK) == [
        Cost("prompt, 30 long examples", len(engine.layout(shown)), 0.125, 11),
        Cost("patch", 5, 0.25, 22),
    ]
    row = from_examples(engine, examples[:10]).rows[3].tolist()
    assert asked == [(shown, None), (bare, (3, row))]


def test_the_memory_is_that_of_the_command_with_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[object] = []

    def measured(command: Sequence[str]) -> float:
        commands.append(command)
        return 7.0

    monkeypatch.setattr(cost, "peak_megabytes", measured)
    request = ModelRequest("m.gguf", Path("v.gguf"), Settings(512, 3, 0))
    assert memory_of(["apply", Path("v.npy")], "x", request) == 7
    asked = ["apply", "v.npy", "--text", "x", "--max-tokens", "1"]
    named = ["--model", "m.gguf", "--mmproj", "v.gguf", "--context", "512", "--threads", "3", "--gpu-layers", "0"]
    assert commands == [[sys.executable, "-m", "tvcli", *asked, *named]]
    assert model_options(ModelRequest()) == []
    assert math.isnan(memory_of(["apply"], "x", replace(request, settings=Settings(rpc=("h:1",)))))


# -- a process of its own ---------------------------------------------------------------------------------


class Child:
    """A process that runs its work in this one when it is started."""

    code: ClassVar[int] = 0
    calls: ClassVar[list[str]] = []

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> None:
        assert daemon  # it ends with its parent
        self.target, self.args = target, args
        self.exitcode: int | None = None

    def start(self) -> None:
        self.calls.append("start")
        assert not self.args[0].readable  # nothing is sent to the child
        self.target(*self.args)
        self.exitcode = self.code

    def join(self) -> None:
        self.calls.append("join")

    def kill(self) -> None:
        self.calls.append("kill")


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Child]]:
    """What the child writes to its standard error goes where that was redirected to."""
    here = multiprocessing.get_context("spawn")

    def context(name: str) -> SimpleNamespace:
        assert name == "spawn"
        return SimpleNamespace(Pipe=here.Pipe, Process=Child)

    monkeypatch.setattr(multiprocessing, "get_context", context)
    monkeypatch.setattr(Child, "calls", [])
    monkeypatch.setattr(Child, "code", 0)
    monkeypatch.setenv("GGML_NO_BACKTRACE", "0")
    redirected: list[int] = []

    def redirect(file: int, number: int) -> None:
        assert number == 2
        redirected.append(file)

    names = ("environ", "open", "O_WRONLY", "O_CREAT")
    system = SimpleNamespace(dup2=redirect, **{name: getattr(os, name) for name in names})
    monkeypatch.setattr(isolated, "os", system)
    monkeypatch.setattr(Child, "redirected", redirected, raising=False)
    yield Child
    for file in redirected:
        os.close(file)


def send_all(send: Callable[[Any], None], items: list[Any], said: bytes = b"") -> None:
    for item in items:
        send(item)
    if said:
        os.write(Child.redirected[-1], said)  # type: ignore[attr-defined]


def test_what_a_child_sends_arrives_in_order_and_then_it_is_ended(child: type[Child]) -> None:
    assert list(isolated.isolated(send_all, [1, None, "two"])) == [1, None, "two"]
    assert child.calls == ["start", "join", "kill", "join"]
    assert os.environ["GGML_NO_BACKTRACE"] == "1"


def test_a_child_whose_items_nobody_wants_is_ended(child: type[Child]) -> None:
    items = isolated.isolated(send_all, [1, 2])
    assert next(items) == 1
    assert isinstance(items, Iterator)
    items.close()  # type: ignore[attr-defined]
    assert child.calls == ["start", "kill", "join"]


@pytest.mark.parametrize(
    ("code", "said", "number", "reason"),
    [
        (-9, b"first\nlast\xff\n\n", 9, "last\ufffd"),
        (-1, b"x", 1, "x"),
        (1, b"", None, "it gave no reason"),
        (3, b" \n", None, "it gave no reason"),
    ],
)
def test_a_child_that_died_gives_its_signal_and_its_last_words(
    child: type[Child], monkeypatch: pytest.MonkeyPatch, code: int, said: bytes, number: int | None, reason: str
) -> None:
    monkeypatch.setattr(child, "code", code)
    with pytest.raises(DiedError) as died:
        list(isolated.isolated(send_all, [1], said))
    assert (died.value.signal, str(died.value)) == (number, reason)


def test_a_child_that_said_nothing_at_all_has_no_last_words(tmp_path: Path) -> None:
    assert isolated._last_line(tmp_path / "none") == "it gave no reason"


@pytest.mark.usefixtures("ascii_locale")
def test_the_last_words_are_unicode_in_every_locale(tmp_path: Path) -> None:
    (tmp_path / "said").write_bytes("né\n".encode())
    assert isolated._last_line(tmp_path / "said") == "né"


# -- the report -------------------------------------------------------------------------------------------

SMALL_TEMPLATE = """{{ name }}
  {% for key, value in about.items() %}
{{ key }}={{ value }};
  {% endfor %}
{{ sections | length }} {{ install }}
"""


class Named(FakeEngine):
    def __init__(self, name: str, quantization: str = "", digest: str = "") -> None:
        super().__init__()
        self.model = ModelInfo("arch", name, 6, 16, quantization, digest)


def study(engine: FakeEngine, **more: Any) -> Study:
    tasks = (TASK, replace(TASK, name="u"))
    return Study(engine=engine, request=ModelRequest("fake"), tasks=tasks, seeds=(1, 22), **more)


def test_a_report_says_of_which_model_tasks_and_seeds_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "TEMPLATE", tmp_path / "t")
    report.TEMPLATE.write_text(SMALL_TEMPLATE, "utf-8")
    made = [Section("a", Table((), ()), "", ())] * 2
    assert render(study(Named("<é>", "Q4_0", "abc"), limit=7), iter(made)).splitlines() == [
        "&lt;é&gt;",
        "model=&lt;é&gt; (arch, 6 layers × 16) Q4_0;",
        "fingerprint=abc;",
        "tasks=t, u;",
        "seeds=1, 22;",
        "samples of a split=7;",
        f"written by=tv {tv_version()};",
        "2 pip install &#39;tvcli[plots]&#39;",
    ]
    lines = render(study(Named("n")), iter([])).splitlines()
    assert lines[1:6] == [
        "model=n (arch, 6 layers × 16);",
        "fingerprint=;",
        "tasks=t, u;",
        "seeds=1, 22;",
        "samples of a split=all;",
    ]


@pytest.mark.usefixtures("ascii_locale")
def test_the_template_and_the_pictures_are_unicode_in_every_locale(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(report, "TEMPLATE", tmp_path / "t")
    report.TEMPLATE.write_bytes("é".encode())
    assert render(study(FakeEngine()), iter([])) == "é"
    assert report._svg(Table((), (), draw=drawing)) == "<svg>é<svg></svg></svg>"


def test_a_name_that_the_template_misspells_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "TEMPLATE", tmp_path / "t")
    report.TEMPLATE.write_text("{{ nmae }}", "utf-8")
    with pytest.raises(UndefinedError, match="nmae"):
        render(study(FakeEngine()), iter([]))


def drawing(path: Path) -> None:
    assert path.suffix == ".svg"
    path.write_text("<?xml?><!-- head --><svg>é<svg></svg></svg>", "utf-8")


def test_sections_are_made_in_order_with_their_drawings_and_small_pictures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wide = tmp_path / "wide.png"
    Pillow.new("RGB", (200, 100), (9, 8, 7)).save(wide)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    shown = Table(("q",), (("a",),) * 3, draw=drawing, images=(None, wide, tmp_path / "broken.png"))
    plain = Table(("q",), (("a",), ("b",)), images=(None, tmp_path / "broken.png"))
    one = study(FakeEngine())
    made = {"One": shown, "Two": plain}

    def maker(title: str) -> tuple[str, Callable[[Study], Table]]:
        return title, lambda given: made[title] if given is one else plain

    monkeypatch.setattr(report, "CONTENTS", tuple(map(maker, made)))
    first, second = sections(one)
    assert (first.title, first.report, first.svg) == ("One", shown, "<svg>é<svg></svg></svg>")
    assert second == Section("Two", plain, "", ())
    nothing, url, broken = first.thumbnails
    assert (nothing, broken) == (None, None)
    assert url is not None
    start, data = url.split(",")
    assert start == "data:image/png;base64"
    with Pillow.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (picture.format, picture.size, picture.getpixel((0, 0))) == ("PNG", (96, 48), (9, 8, 7))
    monkeypatch.setattr(plots, "available", lambda: False)
    assert [section.svg for section in sections(one)] == ["", ""]
