"""What a residual decodes to, layer by layer: the logit lens (paper, sections 3.3 and 4.5, table 6, figure 8).

The last layer's output is overwritten with the residual, so that the model's own final norm and head decode it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tvcli.engine.protocol import Engine, Patch
from tvcli.errors import UsageError
from tvcli.inputs.tasks import Task, usable_shots, warn_of_repeats
from tvcli.kinds import Modality, Split
from tvcli.prompts.prompt import Example, Prompt, sample_in_context, zero_shot

Progress = Callable[[Sequence[tuple[Example, Prompt]]], Iterable[tuple[Example, Prompt]]]
INPUT, TASK, ANSWER = "input", "task", "answer"
FUNCTION_WORDS = {"about", "does", "from", "have", "name", "that", "this", "what", "where", "which", "with", "word"}


@dataclass(frozen=True)
class Decoded:
    """A token that a residual decodes to, with its probability."""

    text: str
    probability: float


def decode(engine: Engine, rows: np.ndarray) -> np.ndarray:
    """Next-token probabilities that the head computes from residuals float32 (K, D): float64 (K, V)."""
    last = engine.model.n_layer - 1
    # the prompt does not matter: its own residual is overwritten before the final norm
    logits = engine.logits([zero_shot("x")], [Patch(last, row) for row in rows])[0].astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def top_tokens(engine: Engine, rows: np.ndarray, count: int) -> list[list[Decoded]]:
    """The `count` most probable tokens of each row, K lists."""
    found = []
    for probabilities in decode(engine, rows):
        best = np.argsort(-probabilities, kind="stable")[:count]
        found.append([Decoded(engine.token_text(int(i)), float(probabilities[i])) for i in best])
    return found


def phases(
    engine: Engine, task: Task, modality: Modality, *, shots: int = 5, seed: int = 1, progress: Progress = iter
) -> dict[str, np.ndarray]:
    """Probability of the input, a word for the task, and the answer at the delimiter of in-context prompts.

    Means over the validation samples: float64 (L,) each. They rise in the order of the paper's three phases.

    Raises:
        UsageError: no validation sample has the modality and a text input.
    """
    warn_of_repeats(task, images=modality == Modality.IMAGE)
    samples = [sample for sample in task.samples(Split.VALIDATION, modality) if sample.has(Modality.TEXT)]
    if not samples:
        both = "text" if modality == Modality.TEXT else f"{modality} and text"
        raise UsageError(f"task {task.name} has no validation samples with {both}")
    examples = [sample.example(modality) for sample in samples]
    named = [sample.example(Modality.TEXT) for sample in samples]
    prompts = sample_in_context(examples, shots=usable_shots(task, examples, shots), prompts=None, seed=seed)
    total = np.zeros((3, engine.model.n_layer))
    for example, prompt in progress(list(zip(named, prompts, strict=True))):
        probabilities = decode(engine, engine.read([prompt])[0])
        words = ([str(example.input)], task_words(task), [example.output])
        total += [probabilities[:, first_tokens(engine, some)].sum(axis=1) for some in words]
    return dict(zip((INPUT, TASK, ANSWER), total / len(prompts), strict=True))


def task_words(task: Task) -> list[str]:
    """Words that name the task: the last part of its name, and its `words`, or else those of its instruction."""
    words = _words_of(task.instruction) if task.words is None else task.words
    return list(dict.fromkeys([task.name.rsplit("-", 1)[-1], *words]))


def _words_of(instruction: str) -> list[str]:
    return [word for word in re.findall(r"[a-z]{4,}", instruction.lower()) if word not in FUNCTION_WORDS]


def first_tokens(engine: Engine, words: Iterable[str]) -> list[int]:
    """The first tokens of the words, unchanged and capitalized, with and without a leading space."""
    variants = {form for word in words for form in (word, word.capitalize())}
    spelled = [f"{space}{form}" for form in sorted(variants) for space in ("", " ")]
    return sorted({engine.tokens(text)[0].id for text in spelled})
