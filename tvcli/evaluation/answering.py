"""The paper's evaluation: no context, prompt and patch, on tasks, over modalities and seeds (section 4).

For every task and seed a vector is read from the validation split; the layer that answers the validation
queries best, on the average over tasks and seeds, is then fixed for the test split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tvcli.engine.protocol import MAX_ROWS, Answer, Decoding, Engine, Patch
from tvcli.evaluation.prompts import Ask, after, alone
from tvcli.evaluation.results import best_layer
from tvcli.evaluation.setup import NO_CONTEXT, PATCH, PROMPT, Pair, Setup
from tvcli.evaluation.store import Cell, Record, Store
from tvcli.evaluation.vectors import Shelf
from tvcli.inputs.tasks import TEST, VALIDATION, Sample, Task
from tvcli.metrics import Judge

PROMPTS = 32  # of a batch


@dataclass(frozen=True)
class Column:
    """One answer to every sample: unpatched, or patched at `layer` with the vector of the cell."""

    cell: Cell
    layer: int | None = None


@dataclass(frozen=True)
class Work:
    """Samples to be answered in every column; all columns of a sample share its prompt, computed once."""

    task: Task
    modality: str
    split: str
    ask: Ask
    samples: Sequence[Sample]
    columns: tuple[Column, ...]

    @property
    def rows(self) -> int:
        return len(self.samples) * len(self.columns)

    def batches(self) -> Iterator[range]:
        """Sample numbers, cut the same way in every run: an answer can depend on the shape of its batch."""
        size = max(1, min(PROMPTS, MAX_ROWS // len(self.columns)))
        for start in range(0, len(self.samples), size):
            yield range(start, min(start + size, len(self.samples)))


@dataclass(frozen=True)
class Evaluation:
    """Answers what the store does not hold yet."""

    engine: Engine
    setup: Setup
    store: Store
    shelf: Shelf

    def run(self, advance: Callable[[int], None] = lambda rows: None) -> dict[Pair, int | None]:
        """Answer everything, telling `advance` of every batch in rows; returns each pair's layer, if one is patched."""
        layers: dict[Pair, int | None] = {}
        for pair in self.setup.pairs:
            for work in self.validation(pair):
                self._answer(work, advance)
            layers[pair] = self._layer(pair)
            for work in self.test(pair, layers[pair]):
                self._answer(work, advance)
        return layers

    def _layer(self, pair: Pair) -> int | None:
        if PATCH not in self.setup.methods:
            return None
        return best_layer(self.store, self.setup, pair) if self.setup.layer is None else self.setup.layer

    def total_rows(self) -> int:
        """How many rows `run` will tell `advance` of."""
        return sum(w.rows for pair in self.setup.pairs for w in (*self.validation(pair), *self.test(pair, 0)))

    def validation(self, pair: Pair) -> Iterator[Work]:
        """All layers and seeds on the validation split; nothing if the layer is given."""
        if self.setup.layer is not None or PATCH not in self.setup.methods:
            return
        layers = range(self.engine.model.n_layer)
        for task in self.setup.tasks:
            cells = [Cell(task.name, *pair, PATCH, VALIDATION, seed) for seed in self.setup.seeds_of(pair[0], task)]
            columns = [Column(cell, layer) for cell in cells for layer in layers]
            yield self._work(task, pair[1], VALIDATION, alone(self.setup, task, pair[1]), columns)

    def test(self, pair: Pair, layer: int | None) -> Iterator[Work]:
        """The methods on the test split: the queries alone together, those after examples seed by seed."""
        source, modality = pair
        methods = self.setup.methods
        first = pair == next(p for p in self.setup.pairs if p[1] == modality)  # no context is the same for all sources
        for task in self.setup.tasks:
            seeds = self.setup.seeds_of(source, task)
            bare = (
                [Column(Cell(task.name, "", modality, NO_CONTEXT, TEST, 0))] if first and NO_CONTEXT in methods else []
            )
            if PATCH in methods:
                bare += [Column(Cell(task.name, source, modality, PATCH, TEST, seed), layer) for seed in seeds]
            yield self._work(task, modality, TEST, alone(self.setup, task, modality), bare)
            for seed in seeds if PROMPT in methods else ():
                shown = after(self.setup, task, source, modality, seed)
                column = Column(Cell(task.name, source, modality, PROMPT, TEST, seed))
                yield self._work(task, modality, TEST, shown, [column])

    def _work(self, task: Task, modality: str, split: str, ask: Ask, columns: Sequence[Column]) -> Work:
        samples = self.setup.samples(task, split, modality) if columns else []
        return Work(task, modality, split, ask, samples, tuple(columns))

    def _answer(self, work: Work, advance: Callable[[int], None]) -> None:
        patches: list[Patch | None] = []
        for batch in work.batches() if work.columns else ():
            missing = {(n, c) for n in batch for c in work.columns if not self.store.has(c.cell, n, c.layer)}
            if missing:
                patches = patches or [self._patch(work.task, column) for column in work.columns]
                prompts = [work.ask(number, work.samples[number]) for number in batch]
                answers = self.engine.answer(prompts, patches, self._decoding(work.task))
                found = [
                    self._record(work, column, number, answer)
                    for number, row in zip(batch, answers, strict=True)
                    for column, answer in zip(work.columns, row, strict=True)
                    if (number, column) in missing
                ]
                self.store.add(found)
            advance(len(batch) * len(work.columns))

    def _patch(self, task: Task, column: Column) -> Patch | None:
        if column.layer is None:
            return None
        return Patch.of(self.shelf.get(task, column.cell.source, column.cell.seed), column.layer)

    def _decoding(self, task: Task) -> Decoding:
        return Decoding(self.setup.judge.max_tokens(task.pattern))

    def _record(self, work: Work, column: Column, number: int, answer: Answer) -> Record:
        sample, other = work.samples[number], self.setup.against.get(work.task.name)
        against = None if other is None else _answers_other(other, sample, answer.text, self.setup.judge)
        follows = self.setup.judge.follows(answer.text, sample.outputs, work.task.pattern)
        return Record(
            cell=column.cell,
            sample=number,
            layer=column.layer,
            input=sample.input or str(sample.image),
            labels=sample.outputs,
            answer=answer.text,
            correct=follows and not against,  # a pattern may also fit the other task's answer
            margin=round(answer.margin, 4),
            against=against,
        )


def _answers_other(other: Task, sample: Sample, answer: str, judge: Judge) -> bool:
    same = [s for s in (*other.validation, *other.test) if s.input == sample.input]
    return any(judge.follows(answer, s.outputs, other.pattern) for s in same)
