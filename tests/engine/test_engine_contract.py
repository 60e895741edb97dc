"""What every engine promises: the fake, small random models, and real ones where their weights are installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import contract
import numpy as np
import pytest
from contract import EVERY, EXACT, TEXTS, Check, Subject
from random_models import FAMILIES

from tvcli.engine.fake import FakeEngine
from tvcli.engine.native import pinned
from tvcli.engine.protocol import MAX_ROWS, Engine, ImageTokens, Settings
from tvcli.errors import UsageError
from tvcli.images import Image
from tvcli.models.opening import open_model
from tvcli.prompts.prompt import zero_shot

RANDOM = ["llama", "gemma3-vision", "mamba"]  # attention; a vision tower; a recurrent state
REAL = [pytest.param(name, marks=pytest.mark.model) for name in ("picto", "smollm2-135m")]
EVERY_NAME = ["fake", *RANDOM, *REAL]


def subject_of(name: str, folder: Path) -> Subject:
    if name in RANDOM:
        family = FAMILIES[name]()
        return Subject(contract.engine_of(family, folder), contract.prompts_of(family), rounding=0.01)
    engine = open_model(name, settings=Settings(threads=1)).engine
    return Subject(engine, TEXTS)  # pictures: doctor's own, and in test_real_model.py


@pytest.fixture(scope="module", params=EVERY_NAME)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    opened = subject_of(request.param, tmp_path_factory.mktemp(request.param))
    yield opened
    opened.engine.close()


@pytest.mark.parametrize("check", EVERY, ids=lambda check: check.__name__)
def test_every_engine(subject: Subject, check: Check) -> None:
    check(subject)


@pytest.fixture(scope="module", params=["fake", *RANDOM])
def exact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    opened = subject_of(request.param, tmp_path_factory.mktemp(request.param))
    yield opened
    opened.engine.close()


@pytest.mark.parametrize("check", EXACT, ids=lambda check: check.__name__)
def test_an_engine_whose_kernels_agree(exact: Subject, check: Check) -> None:
    check(exact)


def test_the_fake_has_the_protocols_names() -> None:
    typed: Engine = FakeEngine()  # also checked by mypy in tvcli/models/opening.py
    assert {name for name in vars(Engine) if not name.startswith("_")} <= set(dir(typed))


def test_no_engine_decodes_more_rows_together_than_llama_cpp() -> None:
    assert MAX_ROWS == pinned.MAX_SEQUENCES


@pytest.mark.parametrize("name", EVERY_NAME)
def test_a_closed_engine_says_so(name: str, tmp_path: Path) -> None:
    opened = subject_of(name, tmp_path)
    contract.a_closed_engine_says_so(opened.engine, opened.first)


def test_an_engine_without_references_is_freed(tmp_path: Path) -> None:
    engine = contract.engine_of(FAMILIES["llama"](), tmp_path)
    decoder = engine._decoder
    assert decoder.handle
    del engine
    assert (decoder.handle, decoder.context) == (None, None)


def test_image_tokens_are_what_takes_the_pictures_place(tmp_path: Path) -> None:
    family = FAMILIES["gemma3-vision"]()
    engine = contract.engine_of(family, tmp_path)
    assert family.image is not None
    one, other = (contract.random_picture(family.image, seed) for seed in (1, 2))
    found = engine.image_tokens(one)
    [run] = [piece for piece in engine.layout(zero_shot(one)) if isinstance(piece, ImageTokens)]
    assert found.shape == (run.count, engine.model.n_embd)
    assert found.dtype == np.float32
    assert np.array_equal(engine.image_tokens(one), found)
    assert not np.array_equal(engine.image_tokens(other), found)
    engine.close()


def test_a_model_without_an_image_encoder_says_what_to_add(tmp_path: Path) -> None:
    engine = contract.engine_of(FAMILIES["llama"](), tmp_path)
    image = Image(np.zeros((8, 8, 3), np.uint8), "black")
    verbs: list[Callable[[], object]] = [
        lambda: engine.image_tokens(image),
        lambda: engine.answer([zero_shot(image)]),
        lambda: FakeEngine(vision=False).answer([zero_shot(image)]),
    ]
    for verb in verbs:
        with pytest.raises(UsageError, match=r"has no image encoder; add `mmproj`$"):
            verb()
    engine.close()
