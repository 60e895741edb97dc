"""A model's own image encoder outside llama.cpp: its files, what is kept of it, and tv with it, without PyTorch.

What transformers itself computes is measured by `benchmarks/vision_half.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import contract
import numpy as np
import pytest
from conftest import Runner
from local_hub import COMMIT, LocalHub, serve, stand_in
from random_models import FAMILIES

from tvcli.encoded import EncodedImage
from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import ImageEncoder, ImageTokens, Settings
from tvcli.errors import UsageError
from tvcli.images import Image
from tvcli.kinds import Picture
from tvcli.models.catalog import find
from tvcli.models.resolve import describe, is_here, pull, resolve, size
from tvcli.models.vision_half import encoder
from tvcli.models.vision_half.encoder import KeptEncoder, open_encoder
from tvcli.models.vision_half.families import FAKE_TOKEN
from tvcli.models.vision_half.families import FAMILIES as VISION
from tvcli.models.vision_half.files import CONFIG, INDEX, PROCESSOR, WHOLE, is_language, vision_half
from tvcli.prompts.prompt import zero_shot

REPOSITORY = "HuggingFaceM4/idefics2-8b"
PLACES = {
    "model.vision_model.embeddings.patch_embedding.weight": "model-00001-of-00003.safetensors",
    "model.connector.perceiver_resampler.latents": "model-00003-of-00003.safetensors",
    "model.text_model.embed_tokens.weight": "model-00001-of-00003.safetensors",
    "model.text_model.layers.0.mlp.up_proj.weight": "model-00002-of-00003.safetensors",
    "lm_head.weight": "model-00003-of-00003.safetensors",
}
FILES = {
    CONFIG: json.dumps({"model_type": "idefics2"}).encode(),
    PROCESSOR: b"{}",
    INDEX: json.dumps({"weight_map": PLACES}).encode(),
    **{name: name.encode() for name in PLACES.values()},
}
NEEDED = ["model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"]


def black(value: int = 0) -> Image:
    return Image(np.full((8, 8, 3), value, np.uint8), f"gray {value}")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path / "tv"))
    monkeypatch.setenv("TV_MODELS_DIR", str(tmp_path / "entries"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of transformers, as far as its files are read here."""
    made = tmp_path / "idefics2"
    made.mkdir()
    for name, data in FILES.items():
        (made / name).write_bytes(data)
    return made


@pytest.fixture
def extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra as if it were installed."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "5.0")


# -- files --------------------------------------------------------------------------------------------------------


def test_only_the_files_with_tensors_of_the_vision_half_are_needed(folder: Path) -> None:
    (folder / "model-00002-of-00003.safetensors").unlink()
    half = vision_half(str(folder), fetch=False)
    assert half is not None
    assert [path.name for path in half.weights] == NEEDED
    assert half.family is VISION["idefics2"]


def test_a_model_in_one_file_has_no_index(folder: Path) -> None:
    (folder / INDEX).unlink()
    (folder / WHOLE).write_bytes(b"x")
    half = vision_half(str(folder), fetch=False)
    assert half is not None
    assert half.weights == (folder / WHOLE,)


def test_both_halves_are_told_apart_by_the_names_of_their_tensors() -> None:
    language = {name for name in PLACES if is_language(name)}
    assert language == {name for name in PLACES if "text_model" in name or "lm_head" in name}
    assert is_language("language_model.model.layers.0.self_attn.q_proj.weight")
    assert not is_language("vision_tower.vision_model.encoder.layers.0.mlp.fc1.bias")


def other(folder: Path, name: str, data: bytes | None) -> None:
    if data is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data)


def places(value: object) -> bytes:
    return json.dumps({"weight_map": value}).encode()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (CONFIG, None, f"has no {CONFIG}, so it is not a model of transformers"),
        (PROCESSOR, None, f"has no {PROCESSOR}, so it is not a model of transformers"),
        (CONFIG, b"[", "is not JSON"),
        (CONFIG, b"[]", "is not a JSON object"),
        (
            CONFIG,
            b'{"model_type": "qwen2_vl"}',
            "tv runs the vision half of idefics2, llava, gemma3, not of 'qwen2_vl'",
        ),
        (CONFIG, b'{"model_type": ["llava"]}', "not of ['llava']"),
        (NEEDED[1], None, "are missing; tv reads safetensors, and no other format"),
        (INDEX, b"{}", "does not say which file has which tensor"),
        (INDEX, places({"a": "../model.safetensors"}), "does not say which file has which tensor"),
        (INDEX, places({"a": "pytorch_model.bin"}), "does not say which file has which tensor"),
        (INDEX, places({"lm_head.weight": "model.safetensors"}), "names no tensors of an image encoder"),
    ],
)
def test_what_is_no_vision_half_is_said_in_one_sentence(
    tv: Runner, folder: Path, ggufs: tuple[Path, Path], name: str, data: bytes | None, said: str
) -> None:
    other(folder, name, data)
    ran = tv("models", "add", ggufs[0], "--name", "mine", "--vision-from", folder)
    assert (ran.code, ran.out, ran.err.count("\n")) == (3, "", 1)
    assert said in ran.err
    assert find("mine") is None


# -- the hub ------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    from huggingface_hub import close_session

    with serve(LocalHub({REPOSITORY: dict(FILES)})) as served:
        stand_in(served, monkeypatch, tmp_path / "cache")
        yield served
    close_session()


@pytest.mark.parametrize("source", [REPOSITORY, f"{REPOSITORY}@{COMMIT}"])
def test_of_a_repository_only_the_needed_files_are_fetched(
    tv: Runner, hub: LocalHub, ggufs: tuple[Path, Path], source: str
) -> None:
    assert tv("models", "add", ggufs[0], "--name", "mine", "--vision-from", source).code == 0
    assert hub.requests == []
    assert not is_here(describe("mine"))
    files = resolve("mine")
    assert files.half is not None
    assert [path.name for path in files.half.weights] == NEEDED
    sent = {request.path.rpartition("/")[2] for request in hub.asked("bytes")}
    assert sent == {CONFIG, PROCESSOR, INDEX, *NEEDED}
    hub.requests.clear()
    assert resolve("mine") == files  # from the cache
    assert hub.requests == []
    assert is_here(describe("mine"))
    assert size(describe("mine")) == ggufs[0].stat().st_size + sum(len(FILES[name]) for name in NEEDED)


def test_another_family_is_refused_before_its_weights_are_fetched(
    tv: Runner, hub: LocalHub, ggufs: tuple[Path, Path]
) -> None:
    hub.files[REPOSITORY][CONFIG] = b'{"model_type": "mantis"}'
    assert tv("models", "add", ggufs[0], "--name", "mine", "--vision-from", REPOSITORY).code == 0
    ran = tv("models", "pull", "mine")
    assert ran.code == 3
    assert "not of 'mantis'" in ran.err
    assert not {request.path.rpartition("/")[2] for request in hub.asked("bytes")} & set(NEEDED)


def test_what_is_here_works_when_the_hub_does_not(tv: Runner, hub: LocalHub, ggufs: tuple[Path, Path]) -> None:
    tv("models", "add", ggufs[0], "--name", "mine", "--vision-from", REPOSITORY)
    files = pull(describe("mine"))
    hub.refuse = lambda asked: (500, {})
    ran = tv("models", "pull", "mine")
    assert (ran.code, ran.out.splitlines()) == (0, [str(files.text), str(files.half and files.half.folder)])
    assert "using the files on this machine" in ran.err


def test_what_is_neither_a_folder_nor_a_repository_is_refused(tv: Runner, ggufs: tuple[Path, Path]) -> None:
    for source in ("no-such-folder", "a/b/c", "https://huggingface.co/a/b"):
        ran = tv("models", "add", ggufs[0], "--vision-from", source)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert "is neither a folder nor owner/repo, which --vision-from needs" in ran.err


# -- the catalog --------------------------------------------------------------------------------------------------


def test_a_model_with_a_vision_half_is_added_listed_and_added_again(
    tv: Runner, folder: Path, ggufs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    for _ in range(2):
        assert tv("models", "add", ggufs[0], "--name", "mine", "--vision-from", folder.name).code == 0
    entry = find("mine")
    assert entry is not None
    assert entry.vision_from == str(folder)
    assert f"vision_from\t{folder}" in tv("models", "info", "mine").out
    assert tv("models", "path", "mine").out.splitlines() == [str(ggufs[0]), str(folder)]
    assert tv("models", "add", ggufs[0], "--name", "mine").code == 3
    given = resolve("mine", ggufs[1])
    assert (given.vision, given.half) == (ggufs[1], None)  # an mmproj that is given goes before


def test_one_image_encoder_is_enough(tv: Runner, folder: Path, ggufs: tuple[Path, Path]) -> None:
    ran = tv("models", "add", ggufs[0], "--mmproj", ggufs[1], "--vision-from", folder)
    assert (ran.code, "give one of --mmproj and --vision-from" in ran.err) == (2, True)


# -- encoding once ------------------------------------------------------------------------------------------------


class Seen:
    """Encodes an image to three tokens that depend on its first pixel, and remembers what it was asked."""

    def __init__(self, width: int = 64) -> None:
        self.names: list[str] = []
        self.loads = 0
        self.width = width

    def load(self) -> Callable[[Image], EncodedImage]:
        self.loads += 1
        return self

    def __call__(self, image: Image) -> EncodedImage:
        self.names.append(image.name)
        seed = int(image.pixels[0, 0, 0])
        tokens = np.random.default_rng(seed).standard_normal((3, self.width)).astype(np.float32)
        return EncodedImage(tokens, image.name, FAKE_TOKEN, FAKE_TOKEN, causal=True)


def test_every_image_is_encoded_once_ever() -> None:
    seen = Seen()
    first = KeptEncoder("id", seen.load)
    one = first.encode(black())
    assert first.encode(black()) is one
    first.forget(black())
    assert first.encode(black()).digest == one.digest
    assert first.encode(black(1)).digest != one.digest
    first.close()
    again = KeptEncoder("id", seen.load).encode(black())
    assert (again.digest, again.name, again.before) == (one.digest, "gray 0", FAKE_TOKEN)
    assert (seen.names, seen.loads) == (["gray 0", "gray 1"], 1)
    KeptEncoder("another encoder", seen.load).encode(black())
    assert seen.names[2:] == ["gray 0"]


def test_nothing_is_loaded_for_images_that_are_kept() -> None:
    KeptEncoder("id", Seen().load).encode(black())
    seen = Seen()
    KeptEncoder("id", seen.load).encode(black())
    assert seen.loads == 0


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    seen = Seen()
    one = KeptEncoder("id", seen.load).encode(black())
    [path] = (tmp_path / "tv").rglob("*.npz")
    path.write_bytes(path.read_bytes()[:-40])
    assert KeptEncoder("id", seen.load).encode(black()).digest == one.digest
    assert len(seen.names) == 2
    KeptEncoder("id", seen.load).encode(black())
    assert len(seen.names) == 2


def test_memory_is_bounded_and_a_folder_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(encoder, "MOST_IN_MEMORY", 2)
    (tmp_path / "tv").write_text("not a folder")
    seen = Seen()
    kept = KeptEncoder("id", seen.load)
    for value in (0, 1, 0, 2, 0, 1):
        kept.encode(black(value))
    assert seen.names == ["gray 0", "gray 1", "gray 2", "gray 1"]
    assert "encoded images cannot be kept" in caplog.text


def test_the_identity_is_of_all_that_tokens_depend_on(
    folder: Path, extra: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def identity() -> str:
        half = vision_half(str(folder), fetch=False)
        assert half is not None
        return open_encoder(half).identity

    seen = {identity()}
    assert {identity()} == seen
    (folder / "README.md").write_text("x")
    (folder / "model-00002-of-00003.safetensors").write_bytes(b"another language model")
    assert {identity()} == seen
    for name, data in ((PROCESSOR, b'{"x": 1}'), (NEEDED[0], b"other weights"), (CONFIG, FILES[CONFIG] + b" ")):
        (folder / name).write_bytes(data)
        seen.add(identity())
    monkeypatch.setattr("importlib.metadata.version", lambda name: "6.0")
    seen.add(identity())
    assert len(seen) == 5


def test_without_the_extra_one_sentence_says_what_to_install(
    tv: Runner, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else name)
    text = FAMILIES["llama"]().write(tmp_path).text
    assert tv("models", "add", text, "--name", "mine", "--vision-from", folder).code == 0
    ran = tv("prompt", "-m", "mine", "-t", "x")
    assert (ran.code, ran.out, ran.err.count("\n")) == (3, "", 1)
    assert ran.err.endswith("needs torch; run: pip install 'tvcli[transformers]'\n")


# -- with a model in llama.cpp ------------------------------------------------------------------------------------


@pytest.mark.model
def test_a_model_sees_through_an_encoder_outside_of_it(tmp_path: Path) -> None:
    text, seen = FAMILIES["llama"]().write(tmp_path).text, Seen()
    outside: ImageEncoder = KeptEncoder("id", seen.load)
    with LlamaEngine(text, settings=Settings(threads=1), encoder=outside) as engine:
        assert engine.has_vision
        assert engine.identity["image encoder"] == "id"
        own = engine.read([zero_shot(black()), zero_shot(black(1)), zero_shot("Greece")])
        assert np.array_equal(engine.read([zero_shot(seen(black()))]), engine.read([zero_shot(black())]))
        assert not np.array_equal(own[0], own[1])
        assert ImageTokens(3) in engine.layout(zero_shot(black()))
        assert engine.image_tokens(black()).shape == (3, 64)
        assert engine.encodings == 2
        engine.forget(black())
    with pytest.raises(UsageError, match="is closed"):
        engine.answer([zero_shot(black())])


@pytest.mark.model
@pytest.mark.parametrize("picture", Picture)
def test_an_encoder_outside_gets_the_papers_pixels_where_they_are_asked_for(tmp_path: Path, picture: Picture) -> None:
    text, sizes = FAMILIES["llama"]().write(tmp_path).text, []

    class Measures(Seen):
        def __call__(self, image: Image) -> EncodedImage:
            sizes.append(image.pixels.shape)
            return super().__call__(image)

    image = Image(np.zeros((30, 60, 3), np.uint8), "x")
    settings = Settings(threads=1, picture=picture)
    with LlamaEngine(text, settings=settings, encoder=KeptEncoder(picture, Measures().load)) as engine:
        engine.image_tokens(image)
        assert engine.answer([zero_shot(image)])
        engine.forget(image)
        assert engine.identity["picture"] == picture
    assert sizes == [(112, 224, 3) if picture == Picture.PAPER else (30, 60, 3)]


@pytest.mark.model
def test_an_encoder_for_another_width_is_refused(tmp_path: Path) -> None:
    text = FAMILIES["llama"]().write(tmp_path).text
    with LlamaEngine(text, settings=Settings(threads=1), encoder=KeptEncoder("id", Seen(48).load)) as engine:
        with pytest.raises(UsageError, match=r"they have a width of 48, the model .* takes 64"):
            engine.answer([zero_shot(black())])
        assert engine.answer([zero_shot("Greece")])


@pytest.mark.model
def test_two_image_encoders_are_one_too_many(tmp_path: Path) -> None:
    files = FAMILIES["llava"]().write(tmp_path)
    with pytest.raises(UsageError, match="has an image encoder of its own"):
        LlamaEngine(files.text, files.vision, encoder=KeptEncoder("id", Seen().load))


@pytest.mark.model
def test_tv_extracts_and_applies_with_one(
    tv: Runner, folder: Path, tmp_path: Path, extra: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen()
    monkeypatch.setattr(encoder, "load_half", lambda *_: seen.load())
    text = FAMILIES["llama"]().write(tmp_path).text
    names = ["a", "b", "c", "d", "e"]
    for value, name in enumerate(names):
        contract_picture(tmp_path / f"{name}.png", value)
    (tmp_path / "pairs.txt").write_text("".join(f"@{name}.png\t{name}\n" for name in names))
    assert tv("models", "add", text, "--name", "mine", "--vision-from", folder).code == 0
    model: Sequence[object] = ("-m", "mine", "--threads", 1)
    vector = tmp_path / "v.npy"
    ran = tv("extract", "-e", tmp_path / "pairs.txt", "-o", vector, *model)
    assert ran.code == 0, ran.err
    for _ in range(2):
        ran = tv("apply", vector, "-l", "all", "-i", tmp_path / "a.png", *model)
        assert (ran.code, len(ran.out.splitlines())) == (0, 4), ran.err
    assert len(seen.names) == len(names)


def contract_picture(path: Path, value: int) -> None:
    from PIL import Image as Pillow

    Pillow.fromarray(contract.random_picture((8, 8), value).pixels).save(path)
