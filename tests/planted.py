"""An engine whose answers encode what was asked of it, and tasks for it: what golden tables are made with.

A residual says in which layer, from what and in which model it was read; an answer is right or wrong by a hash of
that, of the layer that is patched and of the query. So whatever is mixed up on the way to a table (layers, sources,
seeds, wordings, numbers of prompts, columns) changes a number in it.

    python tests/planted.py > tests/data/golden_tables.json      # after a change that is meant
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image as Pillow

import tvcli.inputs.tasks
import tvcli.models.opening
from tvcli.data import data_folder
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Answer, Decoding, Patch
from tvcli.images import load_image
from tvcli.paper.items import OF_QUESTIONS
from tvcli.paper.study import Study
from tvcli.prompts.chat import Chat
from tvcli.prompts.prompt import Input, Prompt

GOLDEN = Path(__file__).parent / "data" / "golden_tables.json"
VALIDATION, TEST = 6, 8
GOOD = {2: 0.4, 3: 0.8}  # share of right answers by the patched layer; elsewhere a tenth
TASKS = {  # name: (group, more keys of task.toml)
    "alpha": ("paper", ""),
    "beta": ("paper", ""),
    "gamma": ("vqa", ""),
    "delta": ("override", 'against = "alpha"\nkind = "semantic"\n'),
    "epsilon": ("imported", 'origin = "VQAv2"\n'),
    "zeta": ("imported", 'origin = "OK-VQA"\n'),
}
WORDINGS = ("question", "typo", "paraphrase", "distractor")


def write_tasks(folder: Path) -> None:
    """Small tasks with a picture for each sample; delta gives alpha's queries other answers.

    epsilon is a question about pictures with captions; each sample of zeta has a question and one that overrides it.
    """
    for number, (name, (group, more)) in enumerate(TASKS.items()):
        target = folder / name
        target.mkdir(parents=True)
        said = "".join(f'{kind} = ["{name} {kind} one:", "{name} {kind} two:"]\n' for kind in WORDINGS)
        target.joinpath("task.toml").write_text(
            f'description = "d"\ninstruction = "Say {name}:"\ngroup = "{group}"\n{more}\n[wordings]\n{said}'
        )
        lines = []
        for i in range(VALIDATION + TEST):
            x = f"{'alpha' if name == 'delta' else name}{i}"
            color = (17 * i, 60 * (0 if name == "delta" else number), 9)
            Pillow.new("RGB", (2, 2), color).save(target / f"{i}.png")
            split = "validation" if i < VALIDATION else "test"
            line: dict[str, object] = {"input": x, "output": [label(name, x)], "image": f"{i}.png", "split": split}
            if name == "epsilon":
                line["input"] = f"A photograph of {x}"
            if name == "zeta":
                line |= {"input": "", "question": f"Which {i} is it?", "instruction": f"Say number {i}"}
                line["against"] = [label("eta", x)]
            lines.append(line)
        target.joinpath("examples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def label(task: str, x: str) -> str:
    """Long enough for a strict metric to need more than one token; for some, one that a constant reaches."""
    number = int(re.sub(r"\D", "", x))
    return f"{task.capitalize()} same thing" if number % 4 == 1 else f"{task.capitalize()}{number} Thing"


class Planted(FakeEngine):
    """Knows what the pictures in `folder` show. `llm`: its residuals say that they come from the other model."""

    def __init__(self, folder: Path, *, llm: bool = False) -> None:
        super().__init__()
        self.llm = llm
        self.chat_template = Chat("{% for m in messages %}<{{ m.content }}>{% endfor %}A:")
        self.shown = {
            load_image(path).digest: f"{'alpha' if path.parent.name == 'delta' else path.parent.name}{path.stem}"
            for path in sorted(folder.glob("*/*.png"))
        }

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        """Row l: l, whether pictures were shown, a hash of the prompt, which model, whether instructed; then noise."""
        return np.array([self._residual(prompt) for prompt in prompts], np.float32)

    def _residual(self, prompt: Prompt) -> np.ndarray:
        layers, width = self.model.n_layer, self.model.n_embd
        rows = np.random.default_rng(zlib.crc32(self._text(prompt).encode())).standard_normal((layers, width))
        rows[:, 0] = np.arange(layers)
        text = self._text(prompt)
        rows[:, 1:5] = bool(prompt.images), hash01(text), self.llm, text.startswith("Say") and "Q:" not in text
        return rows

    def _answer(self, prompt: Prompt, patch: Patch | None, decoding: Decoding) -> Answer:
        text = self._text(prompt)
        x = re.findall(r"(?:alpha|beta|gamma|epsilon|zeta)\d+", text)[-1]
        told = text.count("Q:") > 1 or text.count("<") > 1 or text.startswith("Say")
        if patch is None:
            right = hash01(text) < (0.5 if told else 0.1)
        else:
            code = [round(float(value), 3) for value in patch.row[:5]]
            own = round(code[0]) == patch.layer
            seen = "seen" if prompt.images else "read"
            right = own and hash01(f"{x} {seen} {patch.layer} {code}") < GOOD.get(patch.layer, 0.1)
        task = re.sub(r"\d", "", x)
        said = label("delta" if task == "alpha" and patch is not None and "Say alpha" in text else task, x)
        if task == "zeta" and patch is None and not told:
            said, right = label("eta", x), hash01(text) < 0.7  # what the prompt asks
        said = said if right else f"No{x}"
        if patch is not None and patch.row[4] == 1:
            said = said.lower()  # nothing shows an instruction vector the case
        words = said.split(" ")
        return Answer(" " + " ".join(words[: decoding.max_tokens])[: 4 + 9 * decoding.max_tokens], (1,), 1.0)

    def _text(self, prompt: Prompt) -> str:
        return "".join(self._name(part) for part in prompt.parts)

    def _name(self, part: Input) -> str:
        return part if isinstance(part, str) else f"[{self.shown[part.digest]}]"


def hash01(text: str) -> float:
    """The same number from 0 to 1 for the same text."""
    return zlib.crc32(zlib.adler32(text.encode()).to_bytes(4, "little") + text.encode()) / 2**32


@contextlib.contextmanager
def planted() -> Iterator[Path]:
    """In here ``--model fake`` is the planted engine, a second one opened meanwhile is the LLM, and tasks are made."""
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        write_tasks(folder)
        opened = []

        def open_planted() -> Planted:
            opened.append(1)
            return Planted(folder, llm=len(opened) > 1)

        real = data_folder
        stack.enter_context(mock.patch.object(tvcli.models.opening, "FakeEngine", open_planted))
        stack.enter_context(
            mock.patch.object(tvcli.inputs.tasks, "data_folder", lambda name: folder if name == "tasks" else real(name))
        )
        yield folder


EVALUATIONS = (
    "eval -m fake -T alpha -T beta --seeds 1,2 --pairs all --json",
    "eval -m fake -T alpha -T gamma --seeds 1,2 --source ensemble --wording typo --ignore-case",
    "eval -m fake -T alpha -T beta --seeds 1,2 --query text --csv",
    "eval -m fake -T delta --override --source instruction --metric exact --layer 2 --json",
    "eval -m fake -T zeta --override --source instruction --metric exact --layer 2 --json",
    "eval -m fake -T alpha --seeds 1 --method prompt --method 'no context' --chat --shots 3 --limit 5 --csv",
)


def said(arguments: Sequence[str]) -> tuple[str, str]:
    """What ``tv`` prints and what it notes."""
    from tvcli.cli import main

    printed = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    with planted(), mock.patch("sys.stdout", printed), mock.patch("sys.stderr", io.StringIO()) as noted:
        code = main(list(arguments))
    assert code == 0, noted.getvalue()
    return printed.buffer.getvalue().decode("utf-8"), noted.getvalue()


def study(
    tasks_folder: Path, *names: str, engine: FakeEngine | None = None, llm: str | None = None, **more: Any
) -> Study:
    """A study of these tasks in `tasks_folder`."""
    tasks = tuple(tvcli.inputs.tasks.find_task(name) for name in names or ("alpha", "beta"))
    asked = engine or Planted(tasks_folder)
    return Study(
        engine=asked, request=tvcli.models.opening.ModelRequest("fake"), llm=llm, tasks=tasks, seeds=(1, 2), **more
    )


def table(name: str) -> dict[str, Any]:
    """What ``tv paper NAME --json`` prints; of the cost only what is no measurement."""
    imported = ["-T", "epsilon", "-T", "zeta"] if name in OF_QUESTIONS else []
    made: dict[str, Any] = json.loads(said(["paper", name, "-m", "fake", "--json", "--seeds", "1,2", *imported])[0])
    measured = ("seconds", "seeing", "MB") if name == "table7" else ()
    for row in made["rows"]:
        for column in measured:
            del row[column]
    return made


def evaluation(command: str) -> dict[str, Any]:
    """What an evaluation prints, line by line, or as JSON, and what it notes."""
    printed, noted = said(shlex.split(command))
    lines = json.loads(printed) if "--json" in command else printed.splitlines()
    return {"printed": lines, "noted": noted.splitlines()}


def golden() -> dict[str, Any]:
    """Of every item that the program has, and of some evaluations."""
    from tvcli.paper.items import ITEMS

    tables = {name: table(name) for name in ITEMS}
    return {"tables": tables, "evaluations": {command: evaluation(command) for command in EVALUATIONS}}


if __name__ == "__main__":
    print(json.dumps(golden(), indent=1, ensure_ascii=False))
