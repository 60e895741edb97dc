"""Reading a vector from examples or an instruction: which prompts are read, their mean, and the provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from listening import EXAMPLES, Listening, listed
from PIL import Image as Pillow

from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Patch
from tvcli.errors import UsageError
from tvcli.inputs.tasks import Sample
from tvcli.kinds import Modality
from tvcli.method import extract
from tvcli.method.extract import from_examples, from_instruction, mean_residuals
from tvcli.prompts.prompt import Prompt, QuestionAnswer, sample_in_context, zero_shot
from tvcli.vector import Provenance


def test_the_mean_is_that_of_all_prompts_in_double_precision() -> None:
    class Counts(Listening):
        def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
            super().read(prompts)
            return np.full((1, 6, 16), [2**24, 1, 1, 1][len(self.seen) - 1], np.float32)

    mean = mean_residuals(Counts(), [zero_shot("a")] * 4)
    assert mean.dtype == np.float32
    assert mean.shape == (6, 16)
    assert np.unique(mean).tolist() == [np.float32((2**24 + 3) / 4)]


def test_a_vector_of_examples_is_read_at_sampled_prompts_and_says_so() -> None:
    engine, seen, form = Listening(), [], QuestionAnswer("In:{x}\nOut:")  # type: ignore[var-annotated]
    vector = from_examples(engine, EXAMPLES, shots=3, prompts=4, seed=7, template=form, progress=listed(seen))
    assert engine.seen == seen == sample_in_context(EXAMPLES, shots=3, prompts=4, seed=7, template=form)
    assert vector.provenance == Provenance(
        model=engine.model,
        source="text examples",
        template="In:{x}\nOut:",
        delimiter_id=7,
        delimiter=":",
        prompts=4,
        shots=3,
        seed=7,
        tv_version=extract.tv_version(),
    )


def test_by_default_every_example_ends_one_prompt_of_five() -> None:
    engine = Listening()
    origin = from_examples(engine, EXAMPLES).provenance
    assert engine.seen == sample_in_context(EXAMPLES, shots=5, prompts=None, seed=1)
    assert (origin.prompts, origin.shots, origin.seed, origin.template) == (8, 5, 1, "Q:{x}\nA:")
    assert from_examples(engine, EXAMPLES[:2], shots=2).provenance.shots == 2
    assert from_examples(engine, EXAMPLES[:2]).provenance.shots == 2


def test_the_source_says_what_the_examples_are(picture: Path) -> None:
    other = picture.with_name("other.png")
    Pillow.new("L", (4, 4), 9).save(other)
    seen = [Sample(f"x{i}", ("y",), path).example(Modality.IMAGE) for i, path in enumerate((picture, other))]
    sources = [from_examples(FakeEngine(), some).provenance.source for some in (seen, [seen[0], EXAMPLES[5]])]
    assert sources == ["image examples", "mixed examples"]


class Repaired(FakeEngine):
    @property
    def identity(self) -> Mapping[str, str]:
        return {**super().identity, "vision": "class token first"}


def test_a_vector_read_from_images_has_what_was_repaired_in_them(picture: Path) -> None:
    images = [Sample("x", ("y",), picture).example(Modality.IMAGE), EXAMPLES[5]]
    assert from_examples(Repaired(), images).provenance.vision == "class token first"
    assert from_examples(Repaired(), EXAMPLES).provenance.vision == ""
    assert from_examples(FakeEngine(), images).provenance.vision == ""


@pytest.mark.parametrize(
    ("count", "shots", "words"),
    [
        (1, 5, "a task vector needs at least 2 examples: one with its answer, one to read at"),
        (2, 1, "`shots` must be at least 2: the last example is the one to read at"),
    ],
)
def test_one_example_or_one_shot_is_too_few(count: int, shots: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_examples(FakeEngine(), EXAMPLES[:count], shots=shots)
    assert str(caught.value) == words


def test_a_vector_of_an_instruction_is_read_at_its_colon_and_says_so() -> None:
    engine = Listening()
    vector = from_instruction(engine, " Say it : ")
    assert [prompt.parts for prompt in engine.seen] == [("Say it:",)]
    assert vector.provenance == Provenance(
        model=engine.model,
        source="instruction",
        instruction="Say it:",
        delimiter_id=7,
        delimiter=":",
        prompts=1,
        tv_version=extract.tv_version(),
    )


def test_the_version_is_that_of_the_package_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "version", {"tvcli": "1.2"}.__getitem__)
    assert extract.tv_version() == "1.2"

    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(extract, "version", missing)
    assert extract.tv_version() == "unknown"
