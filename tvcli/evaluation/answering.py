"""The paper's evaluation: no context, prompt and patch, on tasks, over modalities and seeds (section 4).

For every task and seed a vector is read from the validation split, or for every wording of an instruction; the layer
that answers the validation queries best, on the average over tasks and seeds, is then fixed for the test split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tvcli.engine.protocol import MAX_ROWS, Answer, Decoding, Engine, Patch
from tvcli.evaluation.prompts import Ask, after, alone
from tvcli.evaluation.results import best_layer
from tvcli.evaluation.setup import Setup, Transfer
from tvcli.evaluation.store import Cell, Record, Store, cells_of
from tvcli.evaluation.vectors import Shelf
from tvcli.inputs.tasks import Sample, Task
from tvcli.kinds import Method, Modality, Split
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
    modality: Modality
    split: Split
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

    def run(self, advance: Callable[[int], None] = lambda rows: None) -> dict[Transfer, int | None]:
        """Answer all, telling `advance` of every batch in rows; returns each transfer's layer, if one is patched."""
        layers: dict[Transfer, int | None] = {}
        for transfer in self.setup.transfers:
            for work in self.validation(transfer):
                self._answer(work, advance)
            layers[transfer] = self._layer(transfer)
            for work in self.test(transfer, layers[transfer]):
                self._answer(work, advance)
        return layers

    def _layer(self, transfer: Transfer) -> int | None:
        if Method.PATCH not in self.setup.methods:
            return None
        return best_layer(self.store, self.setup, transfer) if self.setup.layer is None else self.setup.layer

    def total_rows(self) -> int:
        """How many rows `run` will tell `advance` of."""
        works = ((*self.validation(transfer), *self.test(transfer, 0)) for transfer in self.setup.transfers)
        return sum(work.rows for some in works for work in some)

    def validation(self, transfer: Transfer) -> Iterator[Work]:
        """All layers and variants on the validation split; nothing if the layer is given."""
        if self.setup.layer is not None or Method.PATCH not in self.setup.methods:
            return
        layers = range(self.engine.model.n_layer)
        for task in self.setup.tasks:
            cells = cells_of(self.setup, task, transfer, Method.PATCH, Split.VALIDATION)
            columns = [Column(cell, layer) for cell in cells for layer in layers]
            ask = alone(self.setup, task, transfer.query)
            yield self._work(task, transfer.query, Split.VALIDATION, ask, columns)

    def test(self, transfer: Transfer, layer: int | None) -> Iterator[Work]:
        """The methods on the test split: the queries alone together, those after examples variant by variant."""
        query, methods = transfer.query, self.setup.methods
        first = next(one for one in self.setup.transfers if one.query == query)
        for task in self.setup.tasks:
            bare: list[Column] = []
            if Method.NO_CONTEXT in methods and transfer == first:  # it is the same for all sources
                bare += map(Column, cells_of(self.setup, task, transfer, Method.NO_CONTEXT, Split.TEST))
            if Method.PATCH in methods:
                cells = cells_of(self.setup, task, transfer, Method.PATCH, Split.TEST)
                bare += [Column(cell, layer) for cell in cells]
            yield self._work(task, query, Split.TEST, alone(self.setup, task, query), bare)
            if Method.PROMPT in methods:
                for cell in cells_of(self.setup, task, transfer, Method.PROMPT, Split.TEST):
                    shown = after(self.setup, task, transfer, cell.variant)
                    yield self._work(task, query, Split.TEST, shown, [Column(cell)])

    def _work(self, task: Task, modality: Modality, split: Split, ask: Ask, columns: Sequence[Column]) -> Work:
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
        if column.layer is None or column.cell.source is None:
            return None
        return Patch.of(self.shelf.get(task, column.cell.source, column.cell.variant), column.layer)

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
