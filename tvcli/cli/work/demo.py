"""``tv demo``: one shipped task, a few of its flags, and all three methods."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tvcli.cli.commands.options import ImageModelOptions
from tvcli.cli.output import out
from tvcli.cli.work.answers import pieces
from tvcli.cli.work.describe import reading
from tvcli.cli.work.opening import model_request
from tvcli.data import data_folder
from tvcli.engine.protocol import Decoding, Engine, Patch
from tvcli.inputs.tasks import Sample, Task, find_task
from tvcli.kinds import Method, Modality
from tvcli.method.extract import from_examples
from tvcli.method.layers import default_layer
from tvcli.metrics import PAPERS_METRIC
from tvcli.prompts.prompt import Example, few_shot, zero_shot

TASK = "country-capital"
# well-known countries of the test split, so that none is among the examples; picto is wrong about one of them
QUERIES = ("France", "Germany", "Iceland", "Indonesia", "Nigeria", "Norway")
SHOTS, SEED = 5, 1
SHORT = Decoding(max_tokens=3)  # enough to tell capitals apart; longer answers would wrap in a terminal of 80 columns
PAIRS = r"Greece\tAthens\nPeru\tLima\nEgypt\tCairo\n"


@dataclass(frozen=True)
class Answered:
    """A sample with the answer of each method."""

    sample: Sample
    answers: dict[Method, str]

    @property
    def correct(self) -> dict[Method, bool]:
        return {method: PAPERS_METRIC.correct(text, self.sample.outputs) for method, text in self.answers.items()}


def run(model_options: ImageModelOptions, *, json: bool) -> None:
    request = model_request(model_options)
    task = find_task(TASK)
    with request.open() as loaded:
        engine = loaded.engine
        modality = Modality.IMAGE if engine.has_vision else Modality.TEXT
        examples = [sample.example(Modality.TEXT) for sample in task.validation]
        vector = from_examples(
            engine,
            examples,
            shots=SHOTS,
            seed=SEED,
            progress=lambda prompts: out.progress(prompts, len(prompts), "prompts read"),
        )
        layer, why = default_layer(vector, loaded.layer)
        answered = _answer(engine, _queries(task), modality, examples, Patch.of(vector, layer))
        out.note(reading(vector))
        delimiter = pieces(engine, zero_shot(answered[0].sample.load(modality)))
        out.note(f"patched: overwriting layer {layer} ({why}) at the delimiter {delimiter}")
    if json:
        for one in answered:
            out.record(_record(one, modality, layer))
    else:
        _show(answered, task, examples[0], modality)
    _say_what_is_next(model_options.model)


def _queries(task: Task) -> list[Sample]:
    return sorted((one for one in task.test if one.input in QUERIES), key=lambda one: QUERIES.index(one.input))


def _answer(
    engine: Engine, samples: Sequence[Sample], modality: Modality, examples: Sequence[Example], patch: Patch
) -> list[Answered]:
    answered = []
    for sample in out.progress(samples, len(samples), "answered"):
        query = sample.load(modality)
        shown = few_shot(query, examples, shots=SHOTS, seed=SEED)
        [[alone, patched]] = engine.answer([zero_shot(query)], [None, patch], SHORT)
        [[prompted]] = engine.answer([shown], [None], SHORT)
        texts = (answer.text.strip() for answer in (alone, prompted, patched))
        answered.append(Answered(sample, dict(zip(Method, texts, strict=True))))
    return answered


def _show(answered: Sequence[Answered], task: Task, example: Example, modality: Modality) -> None:
    what = "flag" if modality == Modality.IMAGE else "country"
    rows = [[one.sample.input, one.sample.outputs[0], *one.answers.values()] for one in answered]
    counts = (sum(one.correct[method] for one in answered) for method in Method)
    rows.append(["correct", "", *(f"{count} of {len(answered)}" for count in counts)])
    such = f"{len(task.validation)} examples such as {example.input} → {example.output}"
    out.table(f"{task.description}, from {such}", [what, "label", *Method], rows)
    out.note(
        "no context: the query alone. prompt: after five examples in words. patch: alone, with the patch\n"
        "no query is among the examples"
    )


def _record(one: Answered, modality: Modality, layer: int) -> dict[str, object]:
    return {
        "input": one.sample.input,
        "kind": modality,
        "layer": layer,
        "labels": one.sample.outputs,
        "answers": one.answers,
        "correct": one.correct,
    }


def _say_what_is_next(model: str | None) -> None:
    """Commands that work when they are pasted."""
    chosen = "" if model is None else f" -m {shlex.quote(model)}"
    flag, here = data_folder("tasks") / "images" / "flags" / "jp.png", Path.cwd()
    flag = flag.relative_to(here) if flag.is_relative_to(here) else flag
    out.note(
        "next: a vector of your own pairs, its task on a flag and on a word, and accuracies on more flags\n"
        f"  printf '{PAIRS}' | tv extract --examples - -o capital.npy{chosen}\n"
        f"  tv apply capital.npy --image {shlex.quote(str(flag))} --text Italy -n 2{chosen}\n"
        f"  tv eval --task {TASK} --limit 20 --seeds 1{chosen}"
    )
