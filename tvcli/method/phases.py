"""How the delimiter evolves over the layers: first input, then task, then answer (paper, section 4.5, figure 8).

The paper's caption (version 1, figure 13): "aggregated over 100 sets of examples. We use the token auf for the input,
one of {capital, currency, species, baby, color, flavor} for the task, and each run's ground-truth label for the
answer." It does not say whether a token begins with a space: here both spellings count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tvcli.engine.protocol import Engine, Token
from tvcli.errors import UsageError
from tvcli.inputs.tasks import Sample, Task, usable_shots, warn_of_repeats
from tvcli.kinds import Modality, Source, Split, View
from tvcli.method.lens import decode
from tvcli.prompts.prompt import Prompt, in_context, instruction, sample_shots

INPUT, TASK, ANSWER = "input", "task", "answer"
PAPERS_INPUT = "auf"
SETS = 100
FUNCTION_WORDS = {"about", "does", "from", "have", "name", "that", "this", "what", "where", "which", "with", "word"}


@dataclass(frozen=True)
class Run:
    """A prompt, and the sample that it asks for; an instruction asks for none."""

    prompt: Prompt
    sample: Sample | None = None


Progress = Callable[[Sequence[Run]], Iterable[Run]]


def phases(
    engine: Engine,
    task: Task,
    source: Source,
    *,
    view: View = View.PAPER,
    sets: int = SETS,
    shots: int = 5,
    seed: int = 1,
    progress: Progress = iter,
) -> dict[str, np.ndarray]:
    """Probability of the input, the task and the answer at the delimiter of each run, float64 (N, L) each.

    Of examples (`source` text or image), N is `sets`; of an instruction, the number of its wordings, and there is no
    answer, since nothing is asked.

    Raises:
        UsageError: no validation sample has the modality (and a text input, if `view` is words).
    """
    runs = instruction_runs(task) if Source(source).modality is None else example_runs(task, source, sets, shots, seed)
    found: dict[str, list[np.ndarray]] = {}
    for run in progress(runs):
        probabilities = decode(engine, engine.read([run.prompt])[0])
        for phase, tokens in tokens_of(engine, task, run.sample, View(view)).items():
            found.setdefault(phase, []).append(probabilities[:, tokens].sum(axis=1))
    return {phase: np.array(rows) for phase, rows in found.items()}


def example_runs(task: Task, source: Source, sets: int, shots: int, seed: int) -> list[Run]:
    """Sets of examples drawn from the validation samples, the last example of each unanswered."""
    modality = Modality.IMAGE if source == Source.IMAGE else Modality.TEXT
    warn_of_repeats(task, images=modality == Modality.IMAGE)
    samples = task.samples(Split.VALIDATION, modality)
    if not samples:
        raise UsageError(f"task {task.name} has no validation samples with {modality}")
    examples = [sample.example(modality) for sample in samples]
    drawn = sample_shots(examples, shots=usable_shots(task, examples, shots), prompts=sets, seed=seed)
    return [Run(in_context([examples[i] for i in numbers]), samples[numbers[-1]]) for numbers in drawn]


def instruction_runs(task: Task) -> list[Run]:
    """The instruction, and all its other wordings."""
    texts = [task.instruction, *(text for wordings in task.wordings.values() for text in wordings)]
    return [Run(instruction(text)) for text in dict.fromkeys(texts)]


def tokens_of(engine: Engine, task: Task, sample: Sample | None, view: View) -> Mapping[str, list[int]]:
    """What counts as input, task and answer of one run, by phase.

    Raises:
        UsageError: `view` is words, and the sample has no text input.
    """
    labels = [] if sample is None else sample.outputs[:1]
    if view == View.PAPER:
        found = {INPUT: word_tokens(engine, PAPERS_INPUT), TASK: word_tokens(engine, task_words(task)[0])}
        return found | ({ANSWER: first_tokens(engine, spellings(labels[0]))} if labels else {})
    if sample is not None and not sample.input:
        raise UsageError(f"{sample.where or task.name}: the sample has no text input to look for")
    words = {INPUT: [] if sample is None else [sample.input], TASK: task_words(task), ANSWER: labels}
    return {phase: first_tokens(engine, _all_spellings(some)) for phase, some in words.items() if some}


def task_words(task: Task) -> list[str]:
    """Words that name the task, the best first: its `words`, or else those of its name and instruction."""
    name = task.name.rsplit("-", 1)[-1]
    if task.words is None:
        return list(dict.fromkeys([name, *_words_of(task.instruction)]))
    return list(task.words) or [name]


def _words_of(instruction: str) -> list[str]:
    return [word for word in re.findall(r"[a-z]{4,}", instruction.lower()) if word not in FUNCTION_WORDS]


def spellings(word: str) -> tuple[str, str]:
    """Without and with a leading space."""
    return word, f" {word}"


def _all_spellings(words: Iterable[str]) -> list[str]:
    """Unchanged and capitalized, without and with a leading space."""
    return [text for word in words for form in (word, word.capitalize()) for text in spellings(form)]


def word_tokens(engine: Engine, word: str) -> list[int]:
    """The tokens that are the whole word, in either spelling; if it has none, those that it begins with."""
    whole = [tokens[0].id for text in spellings(word) if len(tokens := _visible(engine, text)) == 1]
    return sorted(set(whole)) or first_tokens(engine, spellings(word))


def first_tokens(engine: Engine, texts: Iterable[str]) -> list[int]:
    """The tokens that the texts begin with, each once."""
    return sorted({tokens[0].id for text in texts if (tokens := _visible(engine, text))})


def _visible(engine: Engine, text: str) -> list[Token]:
    """The tokens of a text without blank ones before it: some tokenizers put a space of its own there."""
    tokens = engine.tokens(text)
    start = next((i for i, token in enumerate(tokens) if token.text.strip()), len(tokens))
    return tokens[start:]
