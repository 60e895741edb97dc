"""`tv combine`: the weighted sum, and weights that do not fit."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Runner

from tvcli.vector import TaskVector, load, save, to_bytes


def test_combine_is_the_weighted_sum(tv: Runner, pairs_file: Path, tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in ("a.npy", "b.npy", "c.npy"))
    tv("extract", "-e", pairs_file, "-o", a)
    tv("extract", "--instruction", "x:", "-o", b)
    assert tv("combine", a, b, "-o", c).code == 0
    assert np.allclose(load(c).rows, (load(a).rows + load(b).rows) / 2, atol=1e-6)
    assert tv("combine", a, b, "-w", "1,-2.5", "-o", c).code == 0
    assert np.allclose(load(c).rows, load(a).rows - 2.5 * load(b).rows, atol=1e-5)
    assert [part["weight"] for part in load(c).provenance.parts] == [1.0, -2.5]
    assert tv("combine", a, "-", "-o", "-", stdin=b.read_bytes()).raw[:6] == b"\x93NUMPY"


@pytest.mark.parametrize(
    "option", [["-w", "-1,.5"], ["-w-1,.5"], ["--weights", "-1,.5"], ["--weights=-1,.5"], ["-w", " -1 , +5e-1 "]]
)
def test_a_negative_weight_is_no_option(tv: Runner, vector: TaskVector, tmp_path: Path, option: list[str]) -> None:
    save(vector, tmp_path / "v.npy")
    ran = tv("combine", *option, tmp_path / "v.npy", "-", "-o", "-", stdin=to_bytes(vector * 4))
    combined = load(ran.raw)
    assert np.array_equal(combined.rows, vector.rows)
    inner = {"weight": 4.0, "vector": vector.provenance.to_json()}
    assert [part["weight"] for part in combined.provenance.parts] == [-1.0, 0.5]
    assert combined.provenance.parts[1]["vector"]["parts"] == [inner]  # a combination of a combination


@pytest.mark.parametrize("weights", ["1", "1,2,3", "a,b", "nan,1", "inf,1", ""])
def test_combine_refuses_weights_that_do_not_fit(tv: Runner, pairs_file: Path, tmp_path: Path, weights: str) -> None:
    a = tmp_path / "a.npy"
    tv("extract", "-e", pairs_file, "-o", a)
    ran = tv("combine", a, a, "-w", weights, "-o", tmp_path / "c.npy")
    assert ran.code == 2
    assert "weights" in ran.err
    assert not (tmp_path / "c.npy").exists()
