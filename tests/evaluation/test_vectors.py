"""The vectors of an evaluation: each is read once, as the setup says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import planted
import pytest
from known_answers import TASK, WORDS, two_label_task
from planted import study

from tvcli.engine.fake import FakeEngine
from tvcli.errors import UsageError
from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.evaluation.vectors import VectorCache, read_vector
from tvcli.inputs.tasks import Sample, Task
from tvcli.kinds import Modality, Source
from tvcli.prompts.chat import CHATML, Chat


def plain_task() -> Task:
    samples = tuple(Sample(f"x{i}", (f"y{i}",)) for i in range(5))
    said = {"typo": ("one:", "two:")}
    return Task("t", Path(), "d", "Say:", wordings=said, validation=samples, test=samples)


def test_a_shelf_holds_what_the_setup_needs_once() -> None:
    one = plain_task()
    transfers = (WORDS, Transfer(Source.INSTRUCTION, Modality.TEXT), Transfer(Source.TEXT, Modality.IMAGE))
    vector_cache = VectorCache(FakeEngine(), Setup((one,), transfers, seeds=(1, 4), wording="typo"))
    vector_cache.read_all()
    seeds, said = [Variant(1), Variant(4)], [Variant(wording="one:"), Variant(wording="two:")]
    assert [key[:3] for key in vector_cache.vectors] == [
        *((one.digest, Source.TEXT, variant) for variant in seeds),
        *((one.digest, Source.INSTRUCTION, variant) for variant in said),
    ]
    assert vector_cache.get(one, Source.INSTRUCTION, said[1]).provenance.instruction == "two:"
    assert vector_cache.get(one, Source.TEXT, seeds[1]).provenance.seed == 4


def test_a_vector_is_read_as_the_setup_says() -> None:
    setup = Setup((plain_task(),), shots=5, prompts=3)
    origin = read_vector(FakeEngine(), setup, plain_task(), Source.TEXT, Variant(2)).provenance
    assert (origin.shots, origin.prompts, origin.seed, origin.template) == (5, 3, 2, "Q:{x}\nA:")
    with pytest.raises(UsageError) as caught:
        read_vector(FakeEngine(), Setup((), shots=6), plain_task(), Source.TEXT, Variant(1))
    assert str(caught.value) == "task t has 5 validation samples with text, too few for 6 shots"


def test_a_vector_is_read_from_what_the_source_names_in_the_setups_form(planted_folder: Path) -> None:
    [task] = study(planted_folder, "alpha").tasks
    setup = Setup((task,), shots=3, template=Chat(CHATML))
    for source in (Source.TEXT, Source.IMAGE):
        origin = read_vector(planted.Planted(planted_folder), setup, task, source, Variant(1)).provenance
        assert (origin.source, origin.shots, origin.template) == (f"{source} examples", 3, "chat: chatml")


def test_the_ensemble_is_the_mean_of_examples_and_instruction() -> None:
    engine, setup = FakeEngine(), Setup((TASK,))
    both, examples, told = (
        read_vector(engine, setup, TASK, source, setup.variants(source, TASK)[0])
        for source in (Source.ENSEMBLE, Source.TEXT, Source.INSTRUCTION)
    )
    assert np.allclose(both.rows, (examples.rows + told.rows) / 2)


def test_fewer_samples_than_shots_are_refused() -> None:
    with pytest.raises(UsageError, match="2 validation samples with text, too few for 5 shots"):
        read_vector(FakeEngine(), Setup(()), two_label_task(validation=2), Source.TEXT, Variant(1))
