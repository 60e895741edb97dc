"""Tasks: folders with a `task.toml`, an `examples.jsonl` and images.

Each line of `examples.jsonl` is a sample: ``input`` (text), ``output`` (accepted answers, the first is the
label), ``image`` (a path relative to the folder) and ``split`` ("validation" or "test"). A ``question`` stands behind
the input in the prompt; an ``instruction`` overrides it, and ``against`` are then the answers to the question.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import re
import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from tvcli.data import data_folder
from tvcli.errors import UnavailableError, UsageError
from tvcli.files import in_any_form, parse_record, parse_toml, read_bytes, toml_value
from tvcli.inputs.lines import check_texts
from tvcli.inputs.task_images import load_kept
from tvcli.kinds import Modality, Split
from tvcli.prompts.prompt import Content, Example, identities, most_shots
from tvcli.schema import SchemaError, build
from tvcli.text import clean, decode, lines

PAPERS_DATA, OWN_DATA, OTHER_DATA = "the paper's data", "tv's own data", "other data"
SAMPLES = "examples.jsonl"
TEXTS = ("input", "output", "question", "instruction", "against")  # keys of a sample
log = logging.getLogger(__name__)
_warned: set[tuple[Path, str, str]] = set()  # folder, digest and text of warnings that were logged


@dataclass(frozen=True)
class Sample:
    """One input as text and, if there is one, as an image, with its accepted answers.

    With an instruction of its own, `outputs` are what that asks for, and `against` the answers to the question, which
    it overrides (paper, table 5).
    """

    input: str
    outputs: tuple[str, ...]
    image: Path | None = None
    line: int = field(default=0, compare=False)  # in the samples file; the first is 1
    where: str = field(default="", compare=False)  # file and line, for messages
    question: str = ""  # behind the input
    instruction: str = ""
    against: tuple[str, ...] = ()

    def has(self, modality: Modality) -> bool:
        return bool(self.input) if Modality(modality) == Modality.TEXT else self.image is not None

    def load(self, modality: Modality) -> Content:
        """The text, or the decoded image if there is one, and the question. Raises UnavailableError with its line."""
        if Modality(modality) == Modality.TEXT or self.image is None:
            return f"{self.input} {self.question}".strip()
        try:
            image = load_kept(self.image)
        except UnavailableError as error:
            raise UnavailableError(self._located(str(error))) from error
        return (image, self.question) if self.question else image

    def problem(self) -> str:
        """Why its image cannot be used, with file and line, or an empty string. A file is decoded once for this."""
        if self.image is None:
            return ""
        try:
            status = self.image.stat()
        except (OSError, ValueError):
            return self._located(_problem(self.image, 0, 0))
        return self._located(_problem(self.image, status.st_mtime_ns, status.st_size))

    def _located(self, message: str) -> str:
        return f"{self.where}: {message}" if self.where and message else message

    def example(self, modality: Modality) -> Example:
        x = self.load(modality)
        return Example(x, self.outputs[0] if self.outputs else "", word="" if isinstance(x, str) else self.input)

    def identities(self, *, images: bool) -> frozenset[Hashable]:
        """Keys of the text and, with `images`, of the image; samples that share one are the same (`identities`)."""
        return identities(self.input) | (self._image_identities if images else frozenset())

    @cached_property
    def _image_identities(self) -> frozenset[Hashable]:
        """Empty for an image that cannot be read, which is reported when the image is loaded."""
        try:
            return frozenset() if self.image is None else identities(load_kept(self.image))
        except UnavailableError:
            return frozenset()


@dataclass(frozen=True)
class Task:
    """A folder of samples. `wordings` are other wordings of the instruction, by kind (paper, table 9).

    `words` name the task, the best one first; `None` takes them from its name and instruction.
    """

    name: str
    folder: Path
    description: str
    instruction: str
    group: str = ""
    images: str = ""  # where the images come from
    facts: str = ""  # where the answers come from
    wordings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    against: str = ""  # the competing task, whose instruction the prompt has (paper, table 5)
    kind: str = ""
    pattern: str = ""  # a regular expression for right answers, where there are no labels
    origin: str = ""  # the data set that ``tv tasks import`` took it from
    paper: str = ""  # the task's `digest` if ``tv tasks pull`` made it from the paper's own data
    order: int | None = None  # among the shipped tasks; tasks without it come last
    words: tuple[str, ...] | None = None
    validation: tuple[Sample, ...] = ()
    test: tuple[Sample, ...] = ()

    def samples(self, split: Split, modality: Modality) -> list[Sample]:
        """The samples of a split that have the modality, in the file's order."""
        modality = Modality(modality)
        return [s for s in (self.validation if Split(split) == Split.VALIDATION else self.test) if s.has(modality)]

    @cached_property
    def digest(self) -> str:
        """Identifies all that answers depend on: wordings, labels, splits, images (SHA-256, 16 hex digits)."""
        samples = [
            [split, sample.input, sample.outputs, _image_digest(sample.image), *_asked(sample)]
            for split, samples in ((Split.VALIDATION, self.validation), (Split.TEST, self.test))
            for sample in samples
        ]
        content = [self.instruction, {kind: list(texts) for kind, texts in self.wordings.items()}, self.pattern]
        return hashlib.sha256(json.dumps([content, samples], sort_keys=True).encode()).hexdigest()[:16]

    @property
    def is_papers(self) -> bool:
        """Whether these are the paper's own samples and images, unchanged."""
        return bool(self.paper) and self.paper == self.digest

    @cached_property
    def has_questions(self) -> bool:
        """Whether samples have a question behind their input."""
        return any(sample.question for sample in (*self.validation, *self.test))

    @cached_property
    def has_own_instructions(self) -> bool:
        """Whether samples have instructions of their own, each of which needs its own vector."""
        return any(sample.instruction for sample in (*self.validation, *self.test))

    @cached_property
    def needs_judge(self) -> bool:
        """Whether nothing but a command can tell if an answer is right."""
        return not self.pattern and not all(sample.outputs for sample in (*self.validation, *self.test))

    def instructions(self, wording: str) -> list[str]:
        """The instruction, or its wordings of one kind.

        Raises:
            UsageError: this task has no such wordings.
        """
        if not wording:
            return [self.instruction]
        if wording not in self.wordings:
            known = ", ".join(sorted(self.wordings)) or "none"
            raise UsageError(f"task {self.name} has no wordings of kind {wording!r}; it has: {known}")
        return list(self.wordings[wording])


def warn_of_repeats(task: Task, *, images: bool) -> None:
    """Log, once, how many samples repeat an earlier one, and how many of them are in both splits."""
    known: set[Hashable] = set()
    repeated = overlap = 0
    for split in (task.validation, task.test):
        before = frozenset(known)
        for sample in split:
            own = sample.identities(images=images)
            repeated += not own.isdisjoint(known)
            overlap += not own.isdisjoint(before)
            known |= own
    if repeated:
        what = "the text or image" if images else "the text"
        warn_once(
            task,
            f"{repeated} of {len(task.validation) + len(task.test)} samples repeat {what} of an earlier one, and"
            f" {overlap} test samples are also in the validation split, from which vectors are read;"
            " `tv tasks check` lists them",
        )


def usable_shots(task: Task, examples: Sequence[Example], shots: int) -> int:
    """How many examples all prompts of a task can have: `shots`, or fewer, with a warning."""
    most = most_shots(examples)
    if examples and most < shots:
        modality = Modality.IMAGE if examples[0].is_image else Modality.TEXT
        warn_once(task, f"the validation samples with {modality} allow {most} examples per prompt instead of {shots}")
    return min(shots, most)


def warn_once(task: Task, text: str) -> None:
    """Log a warning about a task, only once for all evaluations."""
    if (key := (task.folder, task.digest, text)) not in _warned:
        log.warning("task %s: %s", task.name, text)
    _warned.add(key)


def check_images(samples: Iterable[Sample]) -> None:
    """Before work on all of them. Raises UnavailableError with the first image that cannot be used."""
    broken = [message for sample in samples if (message := sample.problem())]
    if broken:
        more = f"; {len(broken) - 1} more cannot be used, which tv tasks check lists" if len(broken) > 1 else ""
        raise UnavailableError(broken[0] + more)


@functools.lru_cache(maxsize=1 << 14)
def _problem(path: Path, time: int, size: int) -> str:
    """`time` and `size` are those of the file, so that a changed file is decoded again."""
    try:
        load_kept(path)
    except UnavailableError as error:
        return str(error)
    return ""


def _image_digest(path: Path | None) -> str:
    """Of the file's bytes; empty for a missing file, which is reported when the image is loaded."""
    try:
        return "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return ""


def _asked(sample: Sample) -> list[object]:
    """What a digest has of samples that ask a question; nothing for others, whose digests stay as they were."""
    asked: list[object] = [sample.question, sample.instruction, sample.against]
    return asked if any(asked) else []


def whose_data(tasks: Sequence[Task]) -> str:
    """Whose samples and images these are, for the title of a table."""
    shipped = data_folder("tasks").resolve()
    if tasks and all(task.is_papers for task in tasks):
        return PAPERS_DATA
    if tasks and all(task.origin for task in tasks):
        return f"questions of {', '.join(dict.fromkeys(task.origin for task in tasks))}"
    return OWN_DATA if all(shipped in task.folder.resolve().parents for task in tasks) else OTHER_DATA


def task_folders(group: str | None = None) -> list[Path]:
    """The folders of the shipped tasks, in their order and then by name."""
    settings = {path.parent: parse_toml(path) for path in data_folder("tasks").glob("*/task.toml")}
    folders = sorted(settings, key=lambda folder: (settings[folder].get("order", math.inf), folder.name))
    return [folder for folder in folders if group is None or settings[folder].get("group") == group]


def find_task(name: str) -> Task:
    """A shipped task by name, or any folder by path.

    Raises:
        UnavailableError: there is no such task.
        UsageError: a malformed task; the message names file, line and key.
    """
    shipped = data_folder("tasks") / name
    for folder in (Path(name), shipped):
        if (folder / "task.toml").is_file():
            return load_task(folder)
    known = ", ".join(folder.name for folder in task_folders())
    raise UnavailableError(f"unknown task {name!r}; give a folder with a task.toml or one of: {known}")


def load_task(folder: Path) -> Task:
    """Read and check a task folder; images are not decoded."""
    path = folder / "task.toml"
    settings = parse_toml(path)
    try:
        task = build(Task, settings, name=folder.resolve().name, folder=folder, validation=(), test=())
        for key in ("description", "instruction"):
            if not settings[key].strip():
                raise SchemaError(f"the key {key} is missing")
        re.compile(task.pattern)
    except SchemaError as error:
        raise UsageError(f"{path}: {error}") from error
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"{path}: the pattern is not a regular expression: {error}") from error
    splits = _read_samples(folder / SAMPLES, needs_output=not task.pattern)
    task = replace(
        task,
        instruction=clean(task.instruction),
        wordings={kind: tuple(map(clean, texts)) for kind, texts in task.wordings.items()},
        pattern=unicodedata.normalize("NFC", task.pattern),
    )
    return replace(task, validation=splits[Split.VALIDATION], test=splits[Split.TEST])


def written(settings: Mapping[str, str | Sequence[str]], samples: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """The content of a task folder's files, by name."""
    return {
        "task.toml": "".join(f"{key} = {toml_value(value)}\n" for key, value in settings.items()),
        SAMPLES: "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples),
    }


@dataclass(frozen=True)
class _Line:
    """A line of the samples file."""

    input: str = ""
    output: str | tuple[str, ...] = ()
    image: str | None = None
    split: str = Split.TEST.value
    question: str = ""
    instruction: str = ""
    against: str | tuple[str, ...] = ()


def _read_samples(path: Path, *, needs_output: bool) -> dict[Split, tuple[Sample, ...]]:
    splits: dict[Split, list[Sample]] = {split: [] for split in Split}
    for number, line in enumerate(lines(decode(read_bytes(path, "file"), str(path))), 1):
        if line.strip():
            split, sample = _sample(line, path, number, needs_output=needs_output)
            splits[split].append(sample)
    if not splits[Split.TEST]:
        raise UsageError(f"{path} contains no test samples")
    return {split: tuple(samples) for split, samples in splits.items()}


def _sample(line: str, path: Path, number: int, *, needs_output: bool) -> tuple[Split, Sample]:
    where = f"{path}, line {number}"
    try:
        record = parse_record(line, where)
        check_texts(record, where, TEXTS)
        row = build(_Line, record)
    except SchemaError as error:
        raise UsageError(f"{where}: {error}") from error
    outputs, against = ((texts,) if isinstance(texts, str) else texts for texts in (row.output, row.against))
    for key, texts in (("output", outputs), ("against", against)):
        if not all(text.strip() for text in texts):
            raise UsageError(f"{where}: the {key} must be text or a list of texts")
    if needs_output and not outputs and not row.instruction:
        raise UsageError(f"{where}: the output is missing")
    if not (row.input.strip() or row.image):
        raise UsageError(f"{where}: a sample needs a text input or an image")
    if row.split not in tuple(Split):
        raise UsageError(f"{where}: the split must be {' or '.join(Split)}, not {row.split!r}")
    image = in_any_form(path.parent / row.image) if row.image else None
    return Split(row.split), Sample(
        input=clean(row.input),
        outputs=tuple(map(clean, outputs)),
        image=image,
        line=number,
        where=where,
        question=clean(row.question),
        instruction=clean(row.instruction),
        against=tuple(map(clean, against)),
    )
