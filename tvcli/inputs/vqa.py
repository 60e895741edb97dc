"""VQAv2, OK-VQA and A-OKVQA: their public annotation files and COCO's images to task folders (paper, tables 4 and 5).

VQAv2 and OK-VQA have ``{"questions": [{"question_id", "image_id", "question"}]}`` and ``{"annotations":
[{"question_id", "image_id", "answers": [{"answer"}], "multiple_choice_answer"}]}``, the last key only in VQAv2. A-OKVQA
has one list of ``{"question_id", "image_id", "question", "direct_answers", "choices", "correct_choice_idx",
"difficult_direct_answer"}``. Images are ``COCO_val2014_000000000042.jpg`` in the release of 2014 that the first two
name, and ``000000000042.jpg`` in that of 2017; the numbers are the same.
"""

from __future__ import annotations

import functools
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvcli.errors import UnavailableError, UsageError, reason
from tvcli.files import make_folder, parse_json, parse_record, read_bytes
from tvcli.inputs.tasks import written
from tvcli.kinds import Kind, Split
from tvcli.progress import Meter, silent
from tvcli.schema import shown
from tvcli.text import clean, decode, is_unicode, lines, normalized


class Origin(Kind):
    """A data set, as `tv tasks import` names it."""

    VQAV2 = "vqav2"
    OKVQA = "okvqa"
    AOKVQA = "aokvqa"

    @property
    def label(self) -> str:
        return {Origin.VQAV2: "VQAv2", Origin.OKVQA: "OK-VQA", Origin.AOKVQA: "A-OKVQA"}[self]


MOST_ANNOTATIONS = 1 << 29  # bytes; VQAv2's training annotations are 356 MB
LONGEST = 2000  # characters of a question or an answer
AGREE = 3  # annotators of ten whose answer is accepted: the accuracy of VQA is min(their number / 3, 1)
HIGHEST = 10**12  # COCO's images are numbered with twelve digits
NAMES = ("COCO_val2014_{:012}.jpg", "COCO_train2014_{:012}.jpg", "{:012}.jpg")
OWN_INSTRUCTIONS = "another question about the same image, for each sample its own"


@dataclass(frozen=True)
class Asked:
    """A question about an image, with its accepted answers, the majority's first. `id` is the data set's."""

    id: str
    image: int
    question: str
    answers: tuple[str, ...]


def read_vqa(questions: Path, annotations: Path, meter: Meter = silent) -> list[Asked]:
    """VQAv2 and OK-VQA. Questions without an answer that can be accepted are left out.

    Raises:
        UsageError: not these files, or an item of another form; the message names file and item.
        UnavailableError: a file that cannot be read.
    """
    answered = {_id(item, where): (where, item) for where, item in _items(annotations, "annotations", meter)}
    found = []
    for where, item in _items(questions, "questions", meter):
        number = _id(item, where)
        if number not in answered:
            raise UsageError(f"{where}: the question {number} has no annotation in {annotations}")
        place, annotation = answered[number]
        if _image(item, where) != _image(annotation, place):
            raise UsageError(f"{place}: the question {number} is about another image in {questions}")
        majority = annotation.get("multiple_choice_answer", "")
        answers = _texts(annotation, "answers", place)
        found.append(_asked(item, where, accepted(answers, _text(majority, "multiple_choice_answer", place))))
    return [one for one in found if one.answers]


def read_aokvqa(annotations: Path, meter: Meter = silent) -> list[Asked]:
    """A-OKVQA. Questions that it calls difficult to answer without its choices are left out, as in its own evaluation.

    Raises:
        UsageError: not this file, an item of another form, or a test split, whose answers are not public.
        UnavailableError: a file that cannot be read.
    """
    found = []
    for where, item in _items(annotations, "", meter):
        if "direct_answers" not in item:
            raise UsageError(f"{where}: the direct_answers are missing; those of the test split are not public")
        answers = accepted(_texts(item, "direct_answers", where))
        choices, right = _texts(item, "choices", where), item.get("correct_choice_idx")
        if type(right) is not int or not 0 <= right < len(choices):
            raise UsageError(f"{where}: the correct_choice_idx {shown(right)} is the number of no choice")
        if item.get("difficult_direct_answer") is not True:
            found.append(_asked(item, where, _once([*answers, choices[right]])))
    return [one for one in found if one.answers]


def read_captions(path: Path) -> dict[int, str]:
    """Captions by the number of the image: an object ``{"42": "..."}``, or objects with ``image_id`` and ``caption``
    in a list or one per line.

    Raises:
        UsageError: another form; the message names file and item.
        UnavailableError: it cannot be read.
    """
    text = decode(read_bytes(path, "file", MOST_ANNOTATIONS), str(path))
    try:
        value = parse_json(text) if path.suffix.lower() == ".json" else None
    except ValueError as error:
        raise UsageError(f"{path}: not JSON ({error})") from error
    if isinstance(value, dict):
        records: Iterable[tuple[str, Any]] = (
            (f"{path}, key {shown(key)}", {"image_id": int(key) if key.isdecimal() else key, "caption": caption})
            for key, caption in value.items()
        )
    elif isinstance(value, list):
        records = ((f"{path}, item {number}", record) for number, record in enumerate(value, 1))
    elif value is None:
        numbered = [(f"{path}, line {number}", line) for number, line in enumerate(lines(text), 1) if line.strip()]
        records = [(where, parse_record(line, where)) for where, line in numbered]
    else:
        raise UsageError(f"{path}: expected captions by number of the image")
    captions: dict[int, str] = {}
    for where, record in records:
        if not isinstance(record, dict):
            raise UsageError(f"{where}: expected a JSON object with image_id and caption")
        caption = _text(record.get("caption"), "caption", where, longest=100 * LONGEST)
        if not caption:
            raise UsageError(f"{where}: the caption is empty")
        captions[_image(record, where)] = caption
    return captions


def accepted(answers: Sequence[str], majority: str = "") -> tuple[str, ...]:
    """The answers to accept: the one given most often (ties: the first), or `majority` if the data set names it, then
    those that at least three annotators gave, which count fully in the accuracy of VQA."""
    counts = Counter(filter(None, map(clean, answers)))
    common = [answer for answer, count in counts.most_common() if count >= AGREE]
    return _once([clean(majority) or next((answer for answer, _ in counts.most_common(1)), ""), *common])


def _once(answers: Sequence[str]) -> tuple[str, ...]:
    """Without empty ones, and one of those that differ in case and white space only."""
    found: dict[str, str] = {}
    for answer in filter(None, answers):
        found.setdefault(normalized(answer), answer)
    return tuple(found.values())


# -- the items of a file ----------------------------------------------------------------------------------------


def _items(path: Path, key: str, meter: Meter) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where it is and what, of each object of the list under `key`, or of the file itself for an empty key."""
    text = decode(read_bytes(path, "file", MOST_ANNOTATIONS), str(path))
    with meter(text.count("{"), f"read of {path.name}") as advance:

        def alone(record: dict[str, Any]) -> Any:
            """Of an answer's object only its text is kept: VQAv2 has millions."""
            advance(1)
            answer = record.get("answer")
            return sys.intern(answer) if isinstance(answer, str) else record

        try:
            value = parse_json(text, alone)
        except ValueError as error:
            raise UsageError(f"{path}: not JSON ({error})") from error
    if key:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, list):
        raise UsageError(f"{path}: expected a JSON list{f' under the key {key}' if key else ''}")
    for number, item in enumerate(value, 1):
        where = f"{path}, item {number}"
        if not isinstance(item, dict):
            raise UsageError(f"{where}: expected a JSON object, not {shown(item)}")
        yield where, item


def _asked(item: Mapping[str, Any], where: str, answers: tuple[str, ...]) -> Asked:
    question = _text(item.get("question"), "question", where)
    if not question:
        raise UsageError(f"{where}: the question is empty")
    return Asked(_id(item, where), _image(item, where), question, answers)


def _id(item: Mapping[str, Any], where: str) -> str:
    value = item.get("question_id")
    if type(value) not in (int, str):
        raise UsageError(f"{where}: the question_id must be a number or text, not {shown(value)}")
    return str(value)


def _image(item: Mapping[str, Any], where: str) -> int:
    value = item.get("image_id")
    if type(value) is not int or not 0 <= value < HIGHEST:
        raise UsageError(f"{where}: the image_id must be a number of COCO, not {shown(value)}")
    return value


def _texts(item: Mapping[str, Any], key: str, where: str) -> list[str]:
    value = item.get(key)
    if not isinstance(value, list):
        raise UsageError(f"{where}: the {key} must be a list, not {shown(value)}")
    return [_text(one, key, where) for one in value]


def _text(value: object, key: str, where: str, longest: int = LONGEST) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: the {key} must be text, not {shown(value)}")
    if len(value) > longest:
        raise UsageError(f"{where}: the {key} is longer than {longest} characters")
    cleaned = _cleaned(value)
    if cleaned is None:
        raise UsageError(f"{where}: the {key} contains a NUL character or half of a surrogate pair, so it is not text")
    return cleaned


@functools.lru_cache(maxsize=1 << 16)  # millions of answers are few different ones
def _cleaned(text: str) -> str | None:
    return clean(text) if "\0" not in text and is_unicode(text) else None


# -- which questions ---------------------------------------------------------------------------------------------


def selection(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a question is one of these texts, whatever its case, spaces and final mark; ``/.../`` is a regular
    expression to be found in it. Without any, all questions are.

    Raises:
        UsageError: not a regular expression.
    """
    texts, expressions = set(), []
    for pattern in patterns:
        if len(pattern) > 2 and pattern[0] == pattern[-1] == "/":
            try:
                expressions.append(re.compile(pattern[1:-1], re.IGNORECASE))
            except (re.error, RecursionError, OverflowError) as error:
                raise UsageError(f"{pattern} is not a regular expression: {error}") from error
        else:
            texts.add(same_question(pattern))
    return lambda question: (
        not patterns or same_question(question) in texts or any(one.search(question) for one in expressions)
    )


def same_question(text: str) -> str:
    """Equal for questions that differ in case, spaces and final marks only."""
    return normalized(text).rstrip(" ?.!")


@dataclass(frozen=True)
class Choice:
    """What to take: how many samples of each split, by which seed, and how they are asked.

    `ask` puts a sample's question behind its image. `second` are questions that override it, and are asked of the
    same images; they replace the first ones as what the answers are to. `by` overrides every question; answers to it
    are not known, so a command has to judge them.
    """

    validation: int
    test: int
    seed: int = 1
    ask: bool = False
    second: Sequence[Asked] | None = None
    captions: Mapping[int, str] = field(default_factory=dict)
    instruction: str = ""
    by: str = ""


@dataclass(frozen=True)
class Made:
    """What was written, and the names of images that were not there."""

    validation: int
    test: int
    matching: int  # questions
    instruction: str
    missing: tuple[str, ...]


def write_task(asked: Sequence[Asked], images: Path, folder: Path, choice: Choice, *, origin: str) -> Made:
    """Write a task folder with copies of its images; it is complete or not there. No image is in it twice.

    Raises:
        UsageError: no questions, or fewer than wanted.
        UnavailableError: the folder is there already or cannot be written, or an image cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UnavailableError(f"{folder} cannot be written: it is there already; name a new folder")
    files = _image_files(images)
    by_image: dict[int, list[Asked]] = {}
    for one in asked:
        by_image.setdefault(one.image, []).append(one)
    pairs = list(_pairs(by_image, choice))
    missing = [image for image, *_ in pairs if _file_of(image, files) is None]
    here = [pair for pair in pairs if _file_of(pair[0], files) is not None]
    wanted = choice.validation + choice.test
    if len(here) < wanted:
        kind = "images have a question that matches" if choice.second is None else "images have two questions"
        absent = f", and {len(missing)} of their images are not in {images}" if missing else ""
        raise UsageError(
            f"only {len(pairs)} {kind}{absent}; {wanted} samples need as many: lower `validation` and `test`"
        )
    chosen = here[:wanted]
    instruction = choice.by or choice.instruction or _instruction(chosen, choice)
    records = [
        _record(pair, Split.VALIDATION if number < choice.validation else Split.TEST, choice)
        for number, pair in enumerate(chosen)
    ]
    settings = {
        "description": f"{len(chosen)} questions of {origin}",
        "instruction": instruction,
        "group": "imported",
        "images": f"COCO, those of {origin}",
        "facts": f"the annotators of {origin}: the majority's answer, and those that three or more gave",
        "origin": origin,
    }
    _write(folder, settings, records, {image: files[_file_of(image, files) or ""] for image, *_ in chosen})
    return Made(choice.validation, choice.test, len(asked), instruction, tuple(NAMES[0].format(one) for one in missing))


Pair = tuple[int, Asked, Asked | None]  # an image, its question, and the question that overrides it


def _pairs(by_image: Mapping[int, Sequence[Asked]], choice: Choice) -> Iterator[Pair]:
    """One question per image, in a random order; with `second`, only those that another one can override."""
    rng = random.Random(choice.seed)
    others: dict[int, list[Asked]] = {}
    for one in choice.second or ():
        others.setdefault(one.image, []).append(one)
    order = sorted(by_image)
    rng.shuffle(order)
    for image in order:
        first = rng.choice(sorted(by_image[image], key=lambda one: one.id))
        if choice.second is None:
            yield image, first, None
            continue
        fit = [one for one in sorted(others.get(image, ()), key=lambda one: one.id) if _conflict(first, one)]
        if fit:
            yield image, first, rng.choice(fit)


def _conflict(one: Asked, other: Asked) -> bool:
    """Whether an answer to one question cannot be right for the other."""
    answers, others = (set(map(normalized, asked.answers)) for asked in (one, other))
    return same_question(one.question) != same_question(other.question) and answers.isdisjoint(others)


def _instruction(chosen: Sequence[Pair], choice: Choice) -> str:
    """The question that was chosen most often, without its mark, as the paper's demo has it."""
    if choice.second is not None:
        return OWN_INSTRUCTIONS
    return _unmarked(Counter(first.question for _, first, _ in chosen).most_common(1)[0][0])


def _unmarked(question: str) -> str:
    return question.rstrip(" ?") or question


def _record(pair: Pair, split: Split, choice: Choice) -> dict[str, Any]:
    image, first, second = pair
    record: dict[str, Any] = {"input": choice.captions.get(image, ""), "output": list((second or first).answers)}
    record |= {"image": f"images/{image:012}.jpg", "split": split}
    if choice.ask or choice.by or second is not None:
        record["question"] = first.question
    if choice.by or second is not None:
        by = _unmarked(second.question) if second is not None else choice.by
        record |= {"instruction": by, "against": list(first.answers)}
    if choice.by:
        del record["output"]
    return record


# -- files -------------------------------------------------------------------------------------------------------


def _image_files(folder: Path) -> dict[str, Path]:
    """The files of a folder and of the folders in it (``val2014``), by name."""
    try:
        inside = sorted(folder.iterdir())
        deeper = [path for one in inside if one.is_dir() for path in sorted(one.iterdir())]
    except OSError as error:
        raise UnavailableError(f"folder {folder} cannot be read: {reason(error)}") from error
    return {path.name: path for path in (*deeper, *inside)}


def _file_of(image: int, files: Mapping[str, Path]) -> str | None:
    return next((name for name in (form.format(image) for form in NAMES) if name in files), None)


def _write(
    folder: Path, settings: Mapping[str, str], records: Sequence[Mapping[str, Any]], images: Mapping[int, Path]
) -> None:
    make_folder(folder.parent)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=".import-", dir=folder.parent))
    except OSError as error:
        raise UnavailableError(f"{folder} cannot be written: {reason(error)}") from error
    try:
        temporary.chmod(0o755)
        (temporary / "images").mkdir()
        for image, path in images.items():
            (temporary / "images" / f"{image:012}.jpg").write_bytes(read_bytes(path, "image"))
        for name, text in written(settings, records).items():
            (temporary / name).write_text(text, encoding="utf-8")
        if folder.is_dir():
            folder.rmdir()  # empty, as checked before
        temporary.rename(folder)
    except OSError as error:
        raise UnavailableError(f"{folder} cannot be written: {reason(error)}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
