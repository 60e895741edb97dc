"""Files of image tokens wherever a command takes a picture, on the fake engine without an image encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Runner
from task_folder import folder_with

from tvcli.encoded import EncodedImage, to_bytes
from tvcli.engine.fake import FakeEngine
from tvcli.models import opening
from tvcli.vector import load

SEEDS = {name: seed for seed, name in enumerate(("fr", "pe", "eg", "no", "gr", "cl"))}


def tokens(name: str, width: int = 16) -> np.ndarray:
    return np.random.default_rng(SEEDS[name]).standard_normal((3, width)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of each kind for each name; the model has no image encoder."""
    monkeypatch.setattr(opening, "FakeEngine", lambda: FakeEngine(vision=False))
    for name in SEEDS:
        np.save(tmp_path / f"{name}.npy", tokens(name))
        (tmp_path / f"{name}.npz").write_bytes(to_bytes(EncodedImage(tokens(name), name)))
    return tmp_path


def test_a_vector_is_read_from_them_and_applied_to_them(tv: Runner, folder: Path) -> None:
    pairs, vector = folder / "pairs.txt", folder / "vector.npy"
    pairs.write_text("@fr.npy\tParis\n@pe.npz\tLima\n@eg.npy\tCairo\n@no.npy\tOslo\n@gr.npz\tAthens\n")
    ran = tv("extract", "-e", pairs, "-o", vector)
    assert ran.code == 0, ran.err
    assert load(vector).provenance.source == "image examples"
    [one] = [json.loads(line) for line in tv("apply", vector, "-i", folder / "cl.npy", "--json").out.splitlines()]
    [other] = [json.loads(line) for line in tv("apply", vector, "-i", folder / "cl.npz", "--json").out.splitlines()]
    assert one["kind"] == "image"
    assert (one["tokens"], one["margin"]) == (other["tokens"], other["margin"])
    every = tv("apply", vector, "-l", "all", "-i", folder / "cl.npy")
    assert len(every.out.splitlines()) == 6


def test_the_same_tokens_are_a_repeat(tv: Runner, folder: Path) -> None:
    pairs = folder / "pairs.txt"
    pairs.write_text("@fr.npy\tParis\n@fr.npy\tParis\n@eg.npy\tCairo\n@no.npy\tOslo\n@gr.npz\tAthens\n")
    assert "1 of 5 examples repeats the input of an earlier one" in tv("extract", "-e", pairs, "-o", folder / "v").err


def test_they_are_read_from_a_pipe(tv: Runner, made: Path, folder: Path) -> None:
    named = tv("apply", made, "-i", folder / "fr.npy").out
    assert tv("apply", made, "-i", "-", stdin=(folder / "fr.npy").read_bytes()).out.split("\t")[-1] == named


def test_queries_name_them(tv: Runner, made: Path, folder: Path) -> None:
    (folder / "queries.txt").write_text("@fr.npy\n@pe.npz\n")
    ran = tv("apply", made, "--queries", folder / "queries.txt")
    assert [line.split("\t")[0] for line in ran.out.splitlines()] == ["fr.npy", "pe.npz"]


def test_they_are_prompted_and_decoded_layer_by_layer(tv: Runner, folder: Path) -> None:
    assert tv("prompt", "-i", folder / "fr.npy").code == 0
    assert len(tv("lens", "--image", folder / "fr.npy").out.splitlines()) >= 6


def test_the_wrong_file_is_one_sentence(tv: Runner, made: Path, picture: Path, folder: Path) -> None:
    np.save(folder / "wide.npy", tokens("fr", 8))
    np.save(folder / "double.npy", tokens("fr").astype(float))
    for name, words in (
        ("wide.npy", "they have a width of 8, the model fake takes 16"),
        ("double.npy", "they must be float32, not float64"),
        (made.name, "the file has more than one array, as a task vector has"),
        (picture.name, "has no image encoder; add --mmproj"),
    ):
        ran = tv("apply", made, "-i", picture.with_name(name))
        assert (ran.out, ran.err.count("Traceback")) == ("", 0)
        assert ran.code in (2, 3)
        assert words in ran.err


def test_a_task_of_them_is_evaluated(tv: Runner, folder: Path) -> None:
    names = list(SEEDS)
    lines = [
        json.dumps({"input": f"{name} {split}", "image": f"../{name}.npy", "output": name, "split": split})
        for split in ("validation", "test")
        for name in (names[:3] if split == "validation" else names[3:])
    ]
    task = folder_with(folder, lines="\n".join(lines))
    ran = tv("eval", "-T", task, "--query", "image", "--seeds", 1, "--shots", 2, "--json")
    assert ran.code == 0, ran.err
    assert ran.out
    assert tv("tasks", "check", task).code == 0
    (task / "examples.jsonl").write_text("\n".join(lines).replace("fr.npy", "fr.png"))
    ran = tv("eval", "-T", task, "--query", "image", "--seeds", 1, "--shots", 2)
    assert (ran.code, ran.out) == (2, "")
    assert "has no image encoder" in ran.err
