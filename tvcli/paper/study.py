"""One model, with the evaluations that the paper's items share, each run once and resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from tvcli.engine.protocol import Engine
from tvcli.errors import UsageError
from tvcli.evaluation.results import TransferResult
from tvcli.evaluation.run import Files, check_samples, run, vectors_of
from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.evaluation.vectors import Key, VectorCache, examples_of
from tvcli.inputs.tasks import PAPERS_DATA, Task, whose_data
from tvcli.kinds import Method, Modality, Picture, Source
from tvcli.models.opening import ModelRequest
from tvcli.progress import Meter, silent
from tvcli.prompts.prompt import QA, Template
from tvcli.timing import Spent
from tvcli.vector import TaskVector


@dataclass(frozen=True)
class Table:
    """One table: numbers of this model, and the paper's numbers for its models if there are any."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    draw: Callable[[Path], None] | None = None  # draws it as a plot
    images: tuple[Path | None, ...] = ()  # one image per row, shown next to it
    legend: str = ""  # below the table: an explanation of its numbers


@dataclass(kw_only=True)
class Study:
    """One model, with the folder of its answers; each evaluation runs once."""

    engine: Engine
    request: ModelRequest
    llm: str | None = None  # the language model that `request` was made from, for table 3
    template: str = ""  # the chat template that the catalog names, for table 10
    one_image: bool = False  # whether the model takes only one image in a prompt
    tasks: tuple[Task, ...]
    imported: tuple[Task, ...] = ()  # by ``tv tasks import``: for tables 4 and 5
    judge: str = ""  # a command that judges the answers in table 5
    seeds: tuple[int, ...] = (1, 2, 3)
    limit: int | None = None
    one_layer: bool = False  # chosen in table 2; by default each evaluation chooses its own
    folder: Path | None = None
    opened: Spent = field(default_factory=Spent)  # the time that loading the model took
    read_only: bool = False  # a plan: the folder's answers are used, and nothing is written
    answers: int = 0  # of all evaluations so far
    there: int = 0  # of those, how many the folder already had
    meter: Meter = silent
    vectors: dict[Key, TaskVector] = field(default_factory=dict)  # of the engine, of all evaluations so far
    done: list[tuple[Setup, bool, tuple[TransferResult, ...]]] = field(default_factory=list)

    def check_images(self) -> None:
        """Raises UnavailableError before any work if the model takes images and one of the tasks' cannot be used."""
        if self.engine.has_vision:
            self.setup(Source.IMAGE).check_images()

    @cached_property
    def vector_cache(self) -> VectorCache:
        return VectorCache(self.engine, self.setup(), self.vectors)

    @property
    def picture(self) -> Picture | None:
        """Which pixels of an image the model gets, `None` if it gets no images."""
        return self.engine.picture if self.engine.has_vision else None

    @property
    def query_modality(self) -> Modality:
        return Modality.IMAGE if self.engine.has_vision else Modality.TEXT

    @property
    def modalities(self) -> list[Modality]:
        return [Modality.TEXT, Modality.IMAGE] if self.engine.has_vision else [Modality.TEXT]

    @property
    def data(self) -> str:
        """Whose data the tasks are."""
        return whose_data(self.tasks)

    @property
    def is_papers(self) -> bool:
        return self.data == PAPERS_DATA

    def setup(self, *sources: Source) -> Setup:
        """The paper's methods from these sources, by default text, to queries of `query_modality`."""
        transfers = tuple(Transfer(source, self.query_modality) for source in sources or (Source.TEXT,))
        return Setup(self.tasks, transfers, seeds=self.seeds, limit=self.limit)

    def evaluate(
        self, name: str, setup: Setup, *, of_llm: bool = False, own_layer: bool = False
    ) -> tuple[TransferResult, ...]:
        """The numbers of an evaluation, run once and resumed from ``NAME.jsonl`` in the study's folder.

        With `of_llm`, vectors are read with the language model that this one was made from. With `own_layer`, the layer
        is chosen on this evaluation's own validation samples in any case.
        """
        for known, llm, found in self.done:
            if (known, llm) == (setup, of_llm):
                return found
        asked = setup if own_layer else self._at_one_layer(setup)
        check_samples(asked)
        path = None if self.folder is None else self.folder / f"{name}.jsonl"
        files = Files(path, resume=path is not None, read_only=self.read_only)
        other = self.llm_vectors if of_llm else None
        result = run(self.engine, asked, source_model=other, vectors=self.vectors, files=files, meter=self.meter)
        self.answers += result.answers
        self.there += result.there
        self.done.append((setup, of_llm, result.transfers))
        return result.transfers

    def _at_one_layer(self, setup: Setup) -> Setup:
        chooses = setup.layer is None and Method.PATCH in setup.methods
        return replace(setup, layer=self.layer()) if self.one_layer and chooses else setup

    def table2(self) -> TransferResult:
        """The evaluation that later ones are compared with."""
        [found] = self.evaluate("table2", self.setup(), own_layer=True)
        return found

    @cached_property
    def no_image_examples(self) -> str:
        """Why there are no vectors or prompts of image examples, or an empty string."""
        if not self.engine.has_vision:
            return "the model has no image encoder"
        if self.one_image:
            return "the model takes one image per prompt"
        try:
            for task in self.tasks:
                examples_of(self.setup(), task, Modality.IMAGE)
        except UsageError as error:
            return str(error)
        return ""

    def image_examples(self, name: str, methods: tuple[Method, ...], template: Template = QA) -> TransferResult | None:
        """The numbers of image examples for image queries; `None` if there are none (`no_image_examples`)."""
        if self.no_image_examples:
            return None
        [found] = self.evaluate(name, replace(self.setup(Source.IMAGE), methods=methods, template=template))
        return found

    def layer(self) -> int:
        """The layer that validation chose in table 2: later experiments use it."""
        layer = self.table2().layer
        assert layer is not None  # noqa: S101 - table 2 patches
        return layer

    def vector(self, task: Task, source: Source, variant: Variant) -> TaskVector:
        """A task vector, read once."""
        return self.vector_cache.get(task, source, variant)

    @cached_property
    def llm_vectors(self) -> VectorCache:
        """Text vectors of all tasks and seeds, read with the language model that this one was made from.

        Raises:
            VectorError: the two models have different sizes.
        """
        request = ModelRequest(self.llm, None, self.request.settings)
        return vectors_of(request, self.setup(), self.engine.model, self.meter)
