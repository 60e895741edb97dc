"""The checks of ``tv tasks check``: one sentence per finding, with file and line.

Errors make a task unusable: images that cannot be read, and repeated samples, with which vectors could be read from
what they are tested on. Warnings matter when interpreting a score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path

from tvcli.errors import UnavailableError
from tvcli.evaluation.setup import Setup
from tvcli.inputs.task_images import load_kept
from tvcli.inputs.tasks import SAMPLES, Sample, Task
from tvcli.kinds import Modality, Split
from tvcli.metrics import Judge
from tvcli.prompts.prompt import identities

LETTER_SHARE = 0.25  # of the test samples; a hundred capitals reach 0.12 by chance


def errors(task: Task) -> list[str]:
    """Repeated inputs, images that cannot be read, repeated images."""
    pixels: dict[Path | None, Hashable] = {}  # the same image may be in two files
    unreadable = []
    for _, sample in _in_order(task):
        try:
            if sample.image is not None and sample.image not in pixels:
                pixels[sample.image] = identities(load_kept(sample.image))
        except UnavailableError as error:
            unreadable.append(f"{_place(task, sample)}: {error}")
    return [
        *_repeats(task, lambda sample: identities(sample.input), lambda sample: f"input {sample.input!r}"),
        *unreadable,
        *_repeats(task, lambda sample: pixels.get(sample.image), lambda sample: f"image {sample.image}"),
    ]


def warnings(task: Task, shots: int = Setup.shots) -> list[str]:
    """Too few validation samples for prompts of `shots` examples, echoes, and one letter that answers many samples."""
    found = list(_few_examples(task, shots))
    if not task.pattern:  # a pattern is judged by another metric
        found += [*_echoes(task), *_letter(task)]
    return found


def echo(sample: Sample) -> str | None:
    """An answer for which the input itself would be correct under the paper's metric, ignoring case."""
    judge = Judge(ignore_case=True)
    return next((output for output in sample.outputs if judge.correct(sample.input, [output])), None)


def best_letter(samples: tuple[Sample, ...]) -> tuple[str, float]:
    """The letter that begins an answer of the most samples, and their share."""
    firsts = Counter(letter for sample in samples for letter in sorted({o.strip()[0] for o in sample.outputs}))
    letter, count = firsts.most_common(1)[0]
    return letter, count / len(samples)


def _in_order(task: Task) -> list[tuple[Split, Sample]]:
    """Splits and samples, as in the file."""
    samples = [(Split.VALIDATION, one) for one in task.validation] + [(Split.TEST, one) for one in task.test]
    return sorted(samples, key=lambda item: item[1].line)


def _place(task: Task, sample: Sample) -> str:
    return f"{task.folder / SAMPLES}, line {sample.line}"


def _repeats(task: Task, key: Callable[[Sample], Hashable], name: Callable[[Sample], str]) -> Iterator[str]:
    """Samples with the key of an earlier line; empty keys are ignored."""
    first: dict[Hashable, tuple[Split, int]] = {}  # split and line
    for split, sample in _in_order(task):
        same = key(sample)
        if same in first:
            before, line = first[same]
            where = "in the file twice" if before == split else "in both splits"
            yield f"{_place(task, sample)}: the {name(sample)} is {where}, first in line {line}"
        elif same:
            first[same] = split, sample.line


def _few_examples(task: Task, shots: int) -> Iterator[str]:
    if task.has_own_instructions:  # no prompt has examples
        return
    for modality, words in ((Modality.TEXT, "text"), (Modality.IMAGE, "an image")):
        count = len(task.samples(Split.VALIDATION, modality))
        if count < shots and (count or task.samples(Split.TEST, modality)):
            yield (
                f"{task.folder / SAMPLES}: a prompt takes {shots} examples,"
                f" but only {count} validation samples have {words}"
            )


def _echoes(task: Task) -> Iterator[str]:
    for _, sample in _in_order(task):
        if (answer := echo(sample)) is not None:
            yield (
                f"{_place(task, sample)}: the answer {answer!r} echoes the input {sample.input!r},"
                " which would be correct under the paper's metric"
            )


def _letter(task: Task) -> Iterator[str]:
    letter, share = best_letter(task.test)
    labels = {output for sample in task.test for output in sample.outputs if output.strip().startswith(letter)}
    if share >= LETTER_SHARE and len(labels) > 1:
        yield (
            f"{task.folder / SAMPLES}: {len(labels)} answers begin with {letter!r}, which alone would be correct"
            f" for {share:.0%} of the test samples under the paper's metric"
        )
