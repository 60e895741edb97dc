"""Measures the file with tv on drawings of styles that were not used for training."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from classes import Class

from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Answer, Decoding, Patch
from tvcli.evaluation.cells import difference, method_cells, method_header, short_matches
from tvcli.evaluation.results import DIFFERENCES, TransferResult
from tvcli.evaluation.run import Files, run
from tvcli.evaluation.setup import Setup
from tvcli.images import Image, load_image
from tvcli.inputs.tasks import load_task, task_folders
from tvcli.kinds import Method, Split
from tvcli.prompts.prompt import Example, Prompt, few_shot, prompt_of, zero_shot

if TYPE_CHECKING:
    from words import Words

SHOTS = 5
LONGEST_NAME = 8  # tokens
NORMAL = 1.96  # standard deviations, for 95 %
T = TypeVar("T")


@dataclass(frozen=True)
class Drawn:
    """Pictures that were not trained on: images, the label of each, and its style."""

    images: list[Image]
    labels: np.ndarray
    families: np.ndarray


def held_out(file: Path) -> Drawn:
    """The held-out pictures, on white."""
    arrays = np.load(file)
    kept = arrays["held_out"]
    rgba = arrays["images"][kept].astype(np.float32)
    alpha = rgba[..., 3:] / 255
    pixels = (rgba[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    return Drawn(
        [Image(p, f"drawing {i}") for i, p in enumerate(pixels)], arrays["label"][kept], arrays["family"][kept]
    )


def measures(engine: LlamaEngine, classes: list[Class], words: Words, drawn: Drawn) -> dict[str, Callable[[], Any]]:
    """A function for each measure without answers to tasks: recognition, naming, agreement with text."""
    return {
        "recognition": lambda: recognition(engine, classes, words, drawn),
        "naming": lambda: naming(engine, classes, words, drawn),
        "residuals": lambda: residuals(engine, classes, drawn),
    }


def task_measures(engine: LlamaEngine) -> dict[str, Callable[[], Any]]:
    """A function for each measure on tv's tasks: the six tasks and their ceiling."""
    pictures = cache(lambda: tasks(engine))
    return {
        "tasks": lambda: pictures().figures(),
        "ceiling": lambda: with_gap_to_ceiling(tasks(Named(engine, depicted())), pictures()),
    }


def final(engine: LlamaEngine, classes: list[Class], words: Words, drawn: Drawn) -> dict[str, Any]:
    """Recognition and naming of the final style: share of correct ones, their number, and an interval."""
    nearest, cosines = nearest_names(engine, words, drawn)
    first, full = names_said(engine, classes, words, drawn)
    return {
        "nearest name": by_group(nearest == drawn.labels, classes, drawn, share),
        "centred cosine": by_group(cosines, classes, drawn, mean),
        "first token": by_group(first, classes, drawn, share),
        "full name": by_group(full, classes, drawn, share),
    }


def recognition(engine: LlamaEngine, classes: list[Class], words: Words, drawn: Drawn) -> dict[str, Any]:
    """How often the nearest name is right, and the cosine with the right one."""
    nearest, cosines = nearest_names(engine, words, drawn)
    mistakes = Counter((classes[a].name, classes[b].name) for a, b in zip(drawn.labels, nearest, strict=True) if a != b)
    return {
        "nearest name": by_group(nearest == drawn.labels, classes, drawn, mean),
        "centred cosine": by_group(cosines, classes, drawn, mean),
        "confusions": [[*pair, count] for pair, count in mistakes.most_common(20)],
    }


def nearest_names(engine: LlamaEngine, words: Words, drawn: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """For each picture: the nearest of all names, and the centered cosine of its tokens with its name's embedding."""
    mean = words.embeddings.mean(0)
    directions = unit(words.embeddings - mean)
    tokens = np.stack([engine.image_tokens(image) for image in drawn.images])
    nearest = (unit(tokens.mean(1) - mean) @ directions.T).argmax(1)
    cosines = (unit(tokens - mean) * directions[drawn.labels][:, None]).sum(-1)
    return nearest, cosines.mean(1)


def naming(engine: LlamaEngine, classes: list[Class], words: Words, drawn: Drawn) -> dict[str, Any]:
    """How often the model generates the name."""
    first, full = names_said(engine, classes, words, drawn)
    return {
        "first token": by_group(first, classes, drawn, mean),
        "full name": by_group(full, classes, drawn, mean),
    }


def captioned(engine: LlamaEngine, classes: list[Class], drawn: Drawn, before: str, after: str) -> dict[str, Any]:
    """How often the answer to a picture between two texts is the name, and begins with its first token; no examples."""
    first, full = [], []
    said = answers(engine, [prompt_of(before, image, after) for image in drawn.images], LONGEST_NAME)
    for label, answer in zip(drawn.labels, said, strict=True):
        begins, whole = named(engine, classes[label].name, answer.strip())
        first.append(begins)
        full.append(whole)
    return {
        "first token": by_group(np.array(first), classes, drawn, share),
        "full name": by_group(np.array(full), classes, drawn, share),
    }


def names_said(engine: LlamaEngine, classes: list[Class], words: Words, drawn: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """Whether the model's answer, after five repeated words and the picture, begins with the name's first token, and
    whether it is the name."""
    rng = np.random.default_rng(0)
    shown = [classes[i].name for i in rng.choice(len(classes), SHOTS, replace=False)]
    examples = [Example(name, name) for name in shown]
    longest = max(map(len, words.tokens))
    first, full = [], []
    for start in range(0, len(drawn.images), 32):
        part = slice(start, start + 32)
        prompts = [few_shot(image, examples, shots=SHOTS, seed=0) for image in drawn.images[part]]
        for label, answer in zip(drawn.labels[part], answers(engine, prompts, longest + 1), strict=True):
            begins, whole = named(engine, classes[label].name, answer)
            first.append(begins)
            full.append(whole)
    return np.array(first), np.array(full)


def named(engine: LlamaEngine, name: str, answer: str) -> tuple[bool, bool]:
    """Whether the answer begins with the name's first token, and whether its first line is the name."""
    begins = answer.strip().lower().startswith(first_piece(engine, name))
    return begins, answer.split("\n")[0].strip().lower() == name.lower()


def answers(engine: LlamaEngine, prompts: list[Prompt], count: int) -> list[str]:
    return [row[0].text for row in engine.answer(prompts, decoding=Decoding(max_tokens=count))]


def first_piece(engine: LlamaEngine, name: str) -> str:
    return engine.tokens(name)[0].text.strip().lower()


def residuals(engine: LlamaEngine, classes: list[Class], drawn: Drawn, count: int = 200) -> list[float]:
    """The cosine, layer by layer, of the residuals at the delimiter after the picture and after its name."""
    some = np.random.default_rng(0).choice(len(drawn.images), min(count, len(drawn.images)), replace=False)
    seen = engine.read([zero_shot(drawn.images[i]) for i in some])
    named = engine.read([zero_shot(classes[drawn.labels[i]].name) for i in some])
    return [round(float(value), 4) for value in (unit(seen) * unit(named)).sum(-1).mean(0)]


@dataclass(frozen=True)
class Tasks:
    """The numbers on the six tasks; `patched`: the patch's answers to the test queries, by task."""

    found: TransferResult
    patched: dict[str, list[str]]

    def figures(self) -> dict[str, Any]:
        """The cells of `tv eval`. `above`: rows for which a difference's whole interval is above 0. `constant`: tasks
        for which more than half of the patch's answers are the constant, with the constant and both counts."""
        rows = self.found.rows
        said = [(name, rows[name].constant, answers) for name, answers in self.patched.items()]
        counts = [(name, constant, answers.count(constant), len(answers)) for name, constant, answers in said]
        return {
            "layer": self.found.layer,
            "header": method_header(),
            "rows": {name: method_cells(row) for name, row in rows.items()},
            "short": short_matches(self.found),
            "above": {
                other: [name for name, row in rows.items() if row.differences[method, other].interval.low > 0]
                for method, other in DIFFERENCES
            },
            "constant": [counted for counted in counts if 2 * counted[2] > counted[3]],
        }


def with_gap_to_ceiling(named: Tasks, pictures: Tasks) -> dict[str, Any]:
    """The ceiling's figures, and the pictures' difference from it on the same queries."""
    figures = named.figures()
    methods = (Method.PROMPT, Method.PATCH)
    figures["header"] += [f"picture - name, {method}" for method in methods]
    for name, row in named.found.rows.items():
        seen = pictures.found.rows[name]
        figures["rows"][name] += [difference(seen.minus(method, row, method)) for method in methods]
    return figures


def tasks(engine: Any) -> Tasks:
    """The six tasks as in `tv eval`: text vectors on pictures, three seeds; `engine` may be a `Named`."""
    setup = Setup(tasks=tuple(map(load_task, task_folders("paper"))))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "answers.jsonl"
        [found] = run(engine, setup, files=Files(samples=file)).transfers
        records = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[1:-1]]
    patched: dict[str, list[str]] = {task.name: [] for task in setup.tasks}
    for record in records:
        if (record["method"], record["split"]) == (Method.PATCH, Split.TEST):
            patched[record["task"]].append(record["answer"].strip())
    return Tasks(found, patched)


def depicted() -> dict[bytes, str]:
    """The name of what each picture of the tasks shows, by digest of the picture."""
    names = {}
    for task in map(load_task, task_folders("paper")):
        for sample in (*task.validation, *task.test):
            if sample.image is not None:
                names[load_image(sample.image).digest] = sample.input
    return names


class Named:
    """The ceiling: an engine that replaces each picture by the tokens of its name."""

    def __init__(self, engine: LlamaEngine, names: dict[bytes, str]) -> None:
        self.engine, self.names = engine, names

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        return self.engine.read([self.named(p) for p in prompts], patch)

    def answer(self, prompts: Sequence[Prompt], *given: Any) -> list[list[Answer]]:
        return self.engine.answer([self.named(p) for p in prompts], *given)

    def named(self, prompt: Prompt) -> Prompt:
        return Prompt(tuple(self.names[part.digest] if isinstance(part, Image) else part for part in prompt.parts))


def by_group(
    values: np.ndarray, classes: list[Class], drawn: Drawn, summary: Callable[[np.ndarray], T]
) -> dict[str, dict[str, T]]:
    """A summary per style and group of things."""
    groups = np.array([classes[label].group for label in drawn.labels])
    table: dict[str, dict[str, T]] = {}
    for family in sorted(set(drawn.families)):
        here = drawn.families == family
        table[family] = {g: summary(values[here & (groups == g)]) for g in sorted(set(groups[here]))}
        table[family]["all"] = summary(values[here])
    return table


def mean(values: np.ndarray) -> float:
    return round(float(values.mean()), 4)


def share(right: np.ndarray) -> dict[str, float]:
    """The share of correct ones, and Wilson's interval at 95 %."""
    n, p, z = len(right), float(right.mean()), NORMAL
    center = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5 / (1 + z**2 / n)
    low, high = max(0.0, center - half), min(1.0, center + half)
    return {"n": n, "share": round(p, 4), "low": round(low, 4), "high": round(high, 4)}


def unit(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))
