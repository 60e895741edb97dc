"""The paper's evaluation: no context, prompt and patch, on tasks, over modalities and seeds (section 4).

For every task and seed a vector is read from the validation split; the layer that answers the validation
queries best, on the average over tasks and seeds, is then fixed for the test split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tvcli.engine.protocol import Answer, Decoding, Engine, Patch
from tvcli.errors import UsageError
from tvcli.experiments.asking import Ask, after, alone
from tvcli.experiments.extract import from_examples, from_instruction
from tvcli.experiments.metrics import EXACT, EXACT_TOKENS, judge
from tvcli.experiments.results import best_layer
from tvcli.experiments.setup import ENSEMBLE, INSTRUCTION, NO_CONTEXT, PATCH, PROMPT, Pair, Setup
from tvcli.experiments.store import Cell, Record, Store
from tvcli.tasks import TEST, TEXT, VALIDATION, Sample, Task
from tvcli.vector import TaskVector, combine

ROWS = 252  # of a batch: 14 prompts × the demo model's 18 layers, below llama.cpp's 256 sequences
PROMPTS = 32  # of a batch with one row each
Vectors = Callable[[Task, str, int], TaskVector]  # by task, source and seed


def read_vector(engine: Engine, setup: Setup, task: Task, source: str, seed: int) -> TaskVector:
    """One task vector from the validation split (paper, section 4.1), or the ensemble of two (section 4.4).

    Raises:
        UsageError: fewer validation samples of the modality than shots.
    """
    if source == ENSEMBLE:
        parts = [read_vector(engine, setup, task, TEXT, seed), read_vector(engine, setup, task, INSTRUCTION, 1)]
        return combine(parts, [0.5, 0.5])
    if source == INSTRUCTION:
        return from_instruction(engine, task.says(setup.wording)[seed - 1])
    samples = setup.samples(task, VALIDATION, source)
    if len(samples) < setup.shots:
        raise UsageError(
            f"task {task.name} has {len(samples)} validation samples with {source}, too few for {setup.shots} shots"
        )
    examples = [sample.example(source) for sample in samples]
    return from_examples(engine, examples, shots=setup.shots, prompts=setup.prompts, seed=seed, form=setup.form)


@dataclass(frozen=True)
class Work:
    """Samples to answer under the same conditions, at each of `layers` (`None`: unpatched)."""

    task: Task
    cell: Cell
    ask: Ask
    samples: Sequence[Sample]
    layers: tuple[int | None, ...]

    @property
    def rows(self) -> int:
        return len(self.samples) * len(self.layers)

    def batches(self) -> Iterator[list[int]]:
        """Sample numbers, cut the same way in every run: an answer can depend on the shape of its batch."""
        size = PROMPTS if len(self.layers) == 1 else max(1, ROWS // len(self.layers))
        for start in range(0, len(self.samples), size):
            yield list(range(start, min(start + size, len(self.samples))))


@dataclass(frozen=True)
class Evaluation:
    """Answers what the store does not hold yet."""

    engine: Engine
    setup: Setup
    store: Store
    vectors: Vectors

    def run(self, advance: Callable[[int], None] = lambda rows: None) -> dict[Pair, int]:
        """Answer everything, telling `advance` of every batch in rows; returns each pair's layer."""
        layers = {}
        for pair in self.setup.pairs:
            for work in self.validation(pair):
                self._answer(work, advance)
            chosen = self.setup.layer
            layers[pair] = best_layer(self.store, self.setup, pair) if chosen is None else chosen
            for work in self.test(pair, layers[pair]):
                self._answer(work, advance)
        return layers

    def total_rows(self) -> int:
        """How many rows `run` will tell `advance` of."""
        works = [w for pair in self.setup.pairs for w in (*self.validation(pair), *self.test(pair, 0))]
        return sum(work.rows for work in works)

    def validation(self, pair: Pair) -> Iterator[Work]:
        """All layers on the validation split; nothing if the layer is given."""
        source, modality = pair
        layers = tuple(range(self.engine.model.n_layer))
        for task in self.setup.tasks if self.setup.layer is None else ():
            samples = self.setup.samples(task, VALIDATION, modality)
            for seed in self.setup.seeds_of(source, task):
                cell = Cell(task.name, source, modality, PATCH, VALIDATION, seed)
                yield Work(task, cell, alone(self.setup, task, modality), samples, layers)

    def test(self, pair: Pair, layer: int) -> Iterator[Work]:
        """The three methods on the test split."""
        source, modality = pair
        for task in self.setup.tasks:
            samples = self.setup.samples(task, TEST, modality)
            bare = alone(self.setup, task, modality)
            yield Work(task, Cell(task.name, "", modality, NO_CONTEXT, TEST, 0), bare, samples, (None,))
            for seed in self.setup.seeds_of(source, task):
                shown = after(self.setup, task, source, modality, seed)
                yield Work(task, Cell(task.name, source, modality, PROMPT, TEST, seed), shown, samples, (None,))
                yield Work(task, Cell(task.name, source, modality, PATCH, TEST, seed), bare, samples, (layer,))

    def _answer(self, work: Work, advance: Callable[[int], None]) -> None:
        patches: list[Patch | None] = []
        for batch in work.batches():
            if not all(self.store.has(work.cell, number, work.layers) for number in batch):
                patches = patches or self._patches(work)
                prompts = [work.ask(number, work.samples[number]) for number in batch]
                answers = self.engine.answer(prompts, patches, self._decoding(work.task))
                self.store.add([r for n, row in zip(batch, answers, strict=True) for r in self._records(work, n, row)])
            advance(len(batch) * len(work.layers))

    def _patches(self, work: Work) -> list[Patch | None]:
        if work.cell.method != PATCH:
            return [None]
        vector = self.vectors(work.task, work.cell.source, work.cell.seed)
        return [Patch.of(vector, layer) for layer in work.layers if layer is not None]

    def _decoding(self, task: Task) -> Decoding:
        return Decoding(EXACT_TOKENS if self.setup.metric == EXACT or task.pattern else 1)

    def _records(self, work: Work, number: int, answers: Sequence[Answer]) -> Iterator[Record]:
        sample, other = work.samples[number], self.setup.against.get(work.task.name)
        for layer, answer in zip(work.layers, answers, strict=True):
            yield Record(
                cell=work.cell,
                sample=number,
                layer=layer,
                input=sample.input or str(sample.image),
                labels=sample.outputs,
                answer=answer.text,
                correct=judge(work.task, sample.outputs, answer.text, self.setup.metric),
                margin=round(answer.margin, 4),
                against=None if other is None else _answers_other(other, sample, answer.text, self.setup.metric),
            )


def _answers_other(other: Task, sample: Sample, answer: str, metric: str) -> bool:
    same = [s for s in (*other.validation, *other.test) if s.input == sample.input]
    return any(judge(other, s.outputs, answer, metric) for s in same)
