"""The paper's evaluation: no context, prompt and patch, on tasks, over modalities and seeds (section 4).

For every task and seed, or every wording of an instruction, a vector is read from the validation split. The layer with
the best accuracy on validation queries, averaged over tasks and seeds, is then fixed for the test split.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tvcli.engine.protocol import MAX_ROWS, Answer, Decoding, Engine, Patch
from tvcli.errors import TvError
from tvcli.evaluation.judging import JudgeCommand, Request
from tvcli.evaluation.prompts import PromptMaker, few_shot_prompts, zero_shot_prompts
from tvcli.evaluation.results import best_layer, layer_curve
from tvcli.evaluation.setup import Setup, Transfer
from tvcli.evaluation.store import Cell, Record, Store, cells_of
from tvcli.evaluation.vectors import VectorCache
from tvcli.inputs.tasks import Sample, Task
from tvcli.kinds import Method, Modality, Split
from tvcli.metrics import Metric
from tvcli.prompts.prompt import Prompt

log = logging.getLogger(__name__)

PROMPTS = 32  # per batch


@dataclass(frozen=True)
class Condition:
    """How every sample is answered: unpatched, or patched at `layer` with the vector of the cell."""

    cell: Cell
    layer: int | None = None


@dataclass(frozen=True)
class QueryGroup:
    """Samples to answer under every condition; the conditions share a sample's prompt, which is decoded once."""

    task: Task
    modality: Modality
    split: Split
    make_prompt: PromptMaker
    samples: Sequence[Sample]
    conditions: tuple[Condition, ...]

    @property
    def rows(self) -> int:
        return len(self.samples) * len(self.conditions)

    def batches(self) -> Iterator[range]:
        """Ranges of sample numbers, the same in every run: an answer can depend on the shape of its batch.

        All prompts of a batch have the same patches, so samples with instructions of their own are alone in theirs.
        """
        most = 1 if self.task.has_own_instructions else PROMPTS
        size = max(1, min(most, MAX_ROWS // len(self.conditions)))
        for start in range(0, len(self.samples), size):
            yield range(start, min(start + size, len(self.samples)))


@dataclass(frozen=True)
class Evaluation:
    """Computes the answers that the store does not have yet."""

    engine: Engine
    setup: Setup
    store: Store
    vector_cache: VectorCache
    command: JudgeCommand | None = None  # judges the answers, if the setup has one

    def run(self, advance: Callable[[int], None] = lambda rows: None) -> dict[Transfer, int | None]:
        """Answer all; `advance` gets the number of rows of every batch. Returns each transfer's patched layer."""
        layers: dict[Transfer, int | None] = {}
        for transfer in self.setup.transfers:
            for group in self.validation(transfer):
                self._answer(group, advance)
            layers[transfer] = self._layer(transfer)
            for group in self.test(transfer, layers[transfer]):
                self._answer(group, advance)
        return layers

    def _layer(self, transfer: Transfer) -> int | None:
        if Method.PATCH not in self.setup.methods:
            return None
        if self.setup.layer is not None:
            return self.setup.layer
        best = best_layer(self.store, self.setup, transfer)
        if not layer_curve(self.store, self.setup, transfer).any():
            log.warning(
                "%s: no layer answers any validation query correctly; layer %d is patched all the same", transfer, best
            )
        return best

    def total_rows(self) -> int:
        """The total number of rows that `run` reports to `advance`."""
        groups = ((*self.validation(transfer), *self.test(transfer, 0)) for transfer in self.setup.transfers)
        return sum(group.rows for some in groups for group in some)

    def validation(self, transfer: Transfer) -> Iterator[QueryGroup]:
        """All layers and variants on the validation split; none if the layer is given."""
        if self.setup.layer is not None or Method.PATCH not in self.setup.methods:
            return
        layers = range(self.engine.model.n_layer)
        for task in self.setup.tasks:
            cells = cells_of(self.setup, task, transfer, Method.PATCH, Split.VALIDATION)
            conditions = [Condition(cell, layer) for cell in cells for layer in layers]
            make_prompt = zero_shot_prompts(self.setup, task, transfer.query)
            yield self._group(task, transfer.query, Split.VALIDATION, make_prompt, conditions)

    def test(self, transfer: Transfer, layer: int | None) -> Iterator[QueryGroup]:
        """The methods on the test split: zero-shot queries in one group, others in one per variant."""
        query, methods = transfer.query, self.setup.methods
        first = next(one for one in self.setup.transfers if one.query == query)
        for task in self.setup.tasks:
            bare: list[Condition] = []
            if Method.NO_CONTEXT in methods and transfer == first:  # the same for all sources
                bare += map(Condition, cells_of(self.setup, task, transfer, Method.NO_CONTEXT, Split.TEST))
            if Method.PATCH in methods:
                cells = cells_of(self.setup, task, transfer, Method.PATCH, Split.TEST)
                bare += [Condition(cell, layer) for cell in cells]
            yield self._group(task, query, Split.TEST, zero_shot_prompts(self.setup, task, query), bare)
            if Method.PROMPT in methods:
                for cell in cells_of(self.setup, task, transfer, Method.PROMPT, Split.TEST):
                    make_prompt = few_shot_prompts(self.setup, task, transfer, cell.variant)
                    yield self._group(task, query, Split.TEST, make_prompt, [Condition(cell)])

    def _group(
        self, task: Task, modality: Modality, split: Split, make_prompt: PromptMaker, conditions: Sequence[Condition]
    ) -> QueryGroup:
        samples = self.setup.samples(task, split, modality) if conditions else []
        return QueryGroup(task, modality, split, make_prompt, samples, tuple(conditions))

    def _answer(self, group: QueryGroup, advance: Callable[[int], None]) -> None:
        for batch in group.batches() if group.conditions else ():
            missing = {(n, c) for n in batch for c in group.conditions if not self.store.has(c.cell, n, c.layer)}
            if missing:
                first = group.samples[batch.start]
                patches = [self._patch(group.task, condition, first) for condition in group.conditions]
                prompts = [group.make_prompt(number, group.samples[number]) for number in batch]
                answers = self._answers(group, batch, prompts, patches)
                found = [
                    self._record(group, condition, number, answer)
                    for number, row in zip(batch, answers, strict=True)
                    for condition, answer in zip(group.conditions, row, strict=True)
                    if (number, condition) in missing
                ]
                self._add(group, found)
            advance(len(batch) * len(group.conditions))

    def _answers(
        self, group: QueryGroup, batch: range, prompts: Sequence[Prompt], patches: Sequence[Patch | None]
    ) -> list[list[Answer]]:
        """The answers to a batch. If it fails, its prompts are decoded one by one to name the sample that fails."""
        decoding = self._decoding(group.task)
        try:
            return self.engine.answer(prompts, patches, decoding)
        except TvError as error:
            for number, prompt in zip(batch, prompts, strict=True):
                try:
                    self.engine.answer([prompt], patches, decoding)
                except TvError as own:
                    raise type(own)(f"{group.samples[number].where or group.task.name}: {own}") from error
            raise

    def _patch(self, task: Task, condition: Condition, sample: Sample) -> Patch | None:
        source, variant = condition.cell.source, condition.cell.variant
        if condition.layer is None or source is None:
            return None
        if sample.instruction:
            return Patch.of(self.vector_cache.own(task, sample.instruction), condition.layer)
        return Patch.of(self.vector_cache.get(task, source, variant), condition.layer)

    def _decoding(self, task: Task) -> Decoding:
        """The paper's metric takes one token. What is judged by more goes on after newlines: an answer may begin with
        one, as many do that an instruction vector brings, or have several lines."""
        judge = replace(self.setup.judge, metric=Metric.EXACT) if self.setup.command else self.setup.judge
        goes_on = bool(task.pattern or self.setup.command) or self.setup.overrides(task)
        return Decoding(judge.max_tokens(task.pattern), stop_at_newline=not goes_on)

    def _add(self, group: QueryGroup, records: list[Record]) -> None:
        """Save the records; if a command judges them, each as soon as it is judged."""
        if self.command is None:
            self.store.add(records)
            return
        requests = [_request(group.task, self.setup, group.samples[record.sample], record) for record in records]
        for number, verdict in self.command.verdicts(requests):
            self.store.add([replace(records[number], correct=verdict.correct, against=verdict.against)])

    def _record(self, group: QueryGroup, condition: Condition, number: int, answer: Answer) -> Record:
        sample, judge = group.samples[number], self.setup.judge
        overridden = _overridden_labels(group.task, self.setup, sample)
        against = None if overridden is None else any(judge.follows(answer.text, *one) for one in overridden)
        follows = judge.follows(answer.text, sample.outputs, group.task.pattern)
        return Record(
            cell=condition.cell,
            sample=number,
            layer=condition.layer,
            input=sample.input or str(sample.image),
            labels=sample.outputs,
            answer=answer.text,
            correct=follows and not against,  # a pattern may also match the other task's answer
            margin=round(answer.margin, 4),
            against=against,
        )


def _overridden_labels(task: Task, setup: Setup, sample: Sample) -> list[tuple[tuple[str, ...], str]] | None:
    """The labels and the pattern of what the prompt asks; `None` if the vector is to do nothing else."""
    if sample.instruction:
        return [(sample.against, "")] if sample.against else None
    if (other := setup.against.get(task.name)) is None:
        return None
    own = sample.identities(images=not sample.input)  # an image without a text is identified by its pixels
    samples = (*other.validation, *other.test)
    same = [s for s in samples if not own.isdisjoint(s.identities(images=not sample.input))]
    return [(s.outputs, other.pattern) for s in same]


def _request(task: Task, setup: Setup, sample: Sample, record: Record) -> Request:
    """What a judge is told of an answer; not how it came about."""
    overridden = _overridden_labels(task, setup, sample) or []
    other = setup.against.get(task.name)
    asked = sample.question if other is None else other.instruction
    own = sample.instruction or record.cell.variant.wording or task.instruction
    return {
        "task": task.name,
        "follow": sample.question if sample.question and not setup.overrides(task) else own,
        "labels": list(sample.outputs),
        "overridden": asked if setup.overrides(task) else None,
        "overridden_labels": [label for labels, _ in overridden for label in labels],
        "input": sample.input,
        "image": None if sample.image is None else str(sample.image.resolve()),
        "answer": record.answer,
    }
