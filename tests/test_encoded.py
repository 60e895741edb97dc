"""Image tokens from files: what is read, and one sentence for what is not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvcli.encoded import EncodedImage, load_encoded, to_bytes
from tvcli.errors import UnavailableError
from tvcli.images import Image, load_any
from tvcli.prompts.prompt import Example, Prompt, identities, zero_shot

TOKENS = np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def test_an_array_alone(tmp_path: Path) -> None:
    (tmp_path / "flag.npy").write_bytes(npy(TOKENS))
    found = load_encoded(tmp_path / "flag.npy")
    assert np.array_equal(found.tokens, TOKENS)
    assert (found.before, found.after, found.causal) == ("", "", None)
    assert found.name == str(tmp_path / "flag.npy")


def test_an_archive_says_what_is_around_the_tokens() -> None:
    found = load_encoded(npz(tokens=TOKENS, before="<a>", after="é\n", causal=False), "flag.npz")
    assert np.array_equal(found.tokens, TOKENS)
    assert (found.before, found.after, found.causal, found.name) == ("<a>", "é\n", False, "flag.npz")
    assert load_encoded(npz(tokens=TOKENS)).causal is None
    assert load_encoded(npz(tokens=TOKENS, before=np.array("é", ">U4"))).before == "é"


def test_tiles_are_one_after_another() -> None:
    tiles = np.stack([TOKENS, -TOKENS])
    assert np.array_equal(load_encoded(npy(tiles)).tokens, np.concatenate([TOKENS, -TOKENS]))


@pytest.mark.parametrize("causal", [None, True, False])
def test_what_is_written_is_read(causal: bool | None) -> None:
    image = EncodedImage(TOKENS, "x", "<fake>", "</fake>", causal)
    again = load_encoded(to_bytes(image), "x")
    assert again.digest == image.digest
    assert np.array_equal(again.tokens, TOKENS)
    assert (again.before, again.after, again.causal) == ("<fake>", "</fake>", causal)


def test_the_digest_is_of_all_that_takes_the_images_place() -> None:
    images = [
        EncodedImage(TOKENS, "x"),
        EncodedImage(TOKENS * 2, "x"),
        EncodedImage(TOKENS.reshape(10, 8), "x"),
        EncodedImage(TOKENS, "x", before="a"),
        EncodedImage(TOKENS, "x", after="a"),
        EncodedImage(TOKENS, "x", causal=True),
    ]
    assert len({image.digest for image in images}) == len(images)
    assert EncodedImage(TOKENS, "another name").digest == images[0].digest
    assert EncodedImage(np.asfortranarray(TOKENS), "x").digest == images[0].digest


def test_equal_tokens_are_the_same_input() -> None:
    one, other = EncodedImage(TOKENS, "one"), EncodedImage(TOKENS.copy(), "other")
    assert identities(one) == identities(other) != identities(EncodedImage(-TOKENS, "one"))
    assert Example(one, "x").is_image
    assert zero_shot(one).images == (one,)
    assert "5 tokens × 16" in repr(Prompt((one, ":")))


def test_files_are_told_apart_by_their_bytes(tmp_path: Path, picture: Path) -> None:
    named_wrongly = tmp_path / "flag.png"
    named_wrongly.write_bytes(npz(tokens=TOKENS))
    assert isinstance(load_any(named_wrongly), EncodedImage)
    assert isinstance(load_any(npy(TOKENS)), EncodedImage)
    assert isinstance(load_any(picture), Image)


VECTOR = npy(TOKENS) + npy(np.frombuffer(b"{}", np.uint8))
REFUSED = {
    "they must be float32, not float64": npy(TOKENS.astype(np.float64)),
    "they must be float32, not float16": npz(tokens=TOKENS.astype(np.float16)),
    "they must be float32, not >f4": npy(TOKENS.astype(">f4")),
    "they must have the shape (tokens, width), not (16,)": npy(TOKENS[0]),
    "they must have the shape (tokens, width), not (0, 16)": npy(TOKENS[:0]),
    "they must have the shape (tokens, width), not (2, 0, 16)": npy(np.empty((2, 0, 16), np.float32)),
    "they must have the shape (tokens, width), not (1, 1, 5, 16)": npy(TOKENS[None, None]),
    "they must have the shape (tokens, width), not ()": npy(np.array(1, np.float32)),
    "they contain NaN or infinite values": npy(np.where(TOKENS > 2, np.inf, TOKENS).astype(np.float32)),
    "the file has more than one array, as a task vector has": VECTOR,
    "the file is truncated": npy(TOKENS)[:-1],
    "the file is not a NumPy array file": npy(TOKENS)[:20],
    "has pickled Python objects": npy(np.array([None])),
    "the archive has no array 'tokens'": npz(before="x"),
    "the archive has 'arr_0'; it may have tokens, before, after, causal": npz(arr_0=TOKENS),
    "before must be a text of at most 1000 characters": npz(tokens=TOKENS, before=np.array(["a", "b"])),
    "after must be a text of at most 1000 characters": npz(tokens=TOKENS, after="x" * 1001),
    "causal must be true or false": npz(tokens=TOKENS, causal=1),
    "the NumPy archive (.npz) is damaged": npz(tokens=TOKENS)[:-30],
}


@pytest.mark.parametrize("words", REFUSED)
def test_anything_else_is_refused_in_one_sentence(words: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        load_any(REFUSED[words], "x.npy")
    said = str(caught.value)
    assert said.startswith("image tokens x.npy: ")
    assert words in said
    assert "\n" not in said


def test_a_text_with_code_points_beyond_unicode_is_refused() -> None:
    text = np.frombuffer(b"\xff\xff\xff\x7f" * 4, "<U4").reshape(())
    with pytest.raises(UnavailableError, match=r"^image tokens x: before is not Unicode$"):
        load_any(npz(tokens=TOKENS, before=text), "x")
