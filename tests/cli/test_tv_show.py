"""`tv show` on the fake engine: what is in a vector's file."""

import json
from pathlib import Path

import numpy as np
from conftest import Runner


def test_show_tells_what_is_in_a_file(tv: Runner, made: Path) -> None:
    ran = tv("show", made)
    for words in ("6 layers × 16, float32", "fake (fake,", "text examples", "5 of 5 examples, seed 1", "none selected"):
        assert words in ran.out
    record = json.loads(tv("show", made, "--json").out)
    assert (record["layers"], record["width"], record["source"]) == (6, 16, "text examples")
    assert len(record["norms"]) == 6


def test_show_says_when_provenance_is_unknown(tv: Runner, tmp_path: Path) -> None:
    np.save(tmp_path / "bare.npy", np.ones((6, 16), np.float32))
    ran = tv("show", tmp_path / "bare.npy")
    assert "not recorded" in ran.out
    assert "the model of this vector is not recorded" in ran.err


def test_show_decodes_a_vector(tv: Runner, three: list[Path]) -> None:
    assert "decodes to" in tv("show", three[0], "--decode").out
    assert len(json.loads(tv("show", three[0], "--decode", "--json").out)["decodes_to"]) == 5
