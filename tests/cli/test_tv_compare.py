"""`tv compare`: a curve for two vectors, matrices for more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from conftest import Runner

from tvcli.vector import TaskVector, save


def vectors(*rows: Sequence[Sequence[float]]) -> list[TaskVector]:
    return [TaskVector(np.array(row, np.float32)) for row in rows]


def test_two_vectors_are_compared_in_a_curve(tv: Runner, tmp_path: Path) -> None:
    two = save_all(tmp_path, [[0.3, 0.4], [1, 0]], [[0.4, 0.3], [0, 2]])
    assert tv("compare", *two).out == "curve\t0\t1\na and b\t0.9600\t0.0000\n"
    assert tv("compare", *two, "--json").out == '{"a and b": [0.96, 0.0]}\n'


def test_three_vectors_are_compared_in_matrices_at_a_layer(tv: Runner, tmp_path: Path) -> None:
    three = save_all(tmp_path, [[1, 0], [2, 1]], [[0, 1], [1, 2]], [[0, 0], [0, 0]])
    ran = tv("compare", *three)
    plain = "cosine\ta\tb\tc\na\t1.000\t0.800\t0.000\nb\t0.800\t1.000\t0.000\nc\t0.000\t0.000\t0.000\n"
    centered = "cosine\ta\tb\tc\na\t1.000\t0.000\t-0.707\nb\t0.000\t1.000\t-0.707\nc\t-0.707\t-0.707\t1.000\n"
    assert ran.out.replace("-0.000", "0.000") == plain + centered
    assert "layer 1\nlayer 1, centered\n" in ran.err


def save_all(folder: Path, *rows: Sequence[Sequence[float]]) -> list[Path]:
    paths = [folder / f"{name}.npy" for name, _ in zip("abc", rows, strict=False)]
    for path, vector in zip(paths, vectors(*rows), strict=True):
        save(vector, path)
    return paths


def test_compare_prints_a_curve_for_two_and_matrices_for_more(tv: Runner, three: list[Path], tmp_path: Path) -> None:
    [header, row] = tv("compare", *three[:2]).out.splitlines()
    assert header.split("\t") == ["curve", "0", "1", "2", "3", "4", "5"]
    assert row.startswith("a and b\t0.9")
    record = json.loads(tv("compare", *three, "--layer", 0, "--json").out)
    assert record["layer"] == 0
    assert np.allclose(np.array(record["layer 0"]).diagonal(), 1)
    for vectors in (three[:2], three):
        assert tv("compare", *vectors, "--plot", tmp_path / "c.png").code == 0
        assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
