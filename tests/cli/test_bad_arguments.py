"""Wrong arguments of `tv lens`, `map`, `compare`, `eval` and `report` are one sentence."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Runner

from tvcli.errors import UnavailableError, UsageError, VectorError
from tvcli.inputs.tasks import find_task
from tvcli.method.similarity import similarity
from tvcli.vector import TaskVector, save

BAD = [
    (["lens"], 2, "give one of --vector"),
    (["lens", "-t", "x", "-T", "food-color"], 2, "give one of --vector"),
    (["lens", "-t", "x", "--plot", "a.png"], 2, "--plot draws the curves of --task"),
    (["lens", "-T", "food-color", "--plot", "a.bmp"], 2, "is not a supported plot format"),
    (["lens", "-T", "nope"], 3, "unknown task"),
    (["lens", "--image", "none.png"], 3, "cannot be read"),
    (["map", "-T", "food-color", "--limit", "1"], 2, "at least 3 vectors, not 2"),
    (["map", "--layer", "6"], 2, "--layer 6 is outside 0 to 5"),
    (["eval", "--layer", "1", "--plot", "a.png"], 2, "--plot draws the accuracy over layers"),
    (["report", "-o", "no/such/r.html"], 2, "the folder of no/such/r.html does not exist"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD, ids=str)
def test_bad_input_is_one_sentence(
    tv: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = tv(*arguments)
    assert ran.code == code
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1


def test_vectors_of_other_sizes_are_refused_with_both_named(tv: Runner, three: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other.npy"
    save(TaskVector(np.ones((4, 8), np.float32)), other)
    ran = tv("compare", three[0], other)
    assert ran.code == 4
    assert "6 layers × 16 and 4 layers × 8" in ran.err
    assert tv("lens", "--vector", other).code == 4
    assert tv("compare", three[0]).code == 2
    with pytest.raises(UsageError, match="centering needs at least 3"):
        similarity([TaskVector(np.ones((4, 8), np.float32))] * 2, centered=True)
    with pytest.raises(VectorError):
        similarity([TaskVector(np.ones((4, 8), np.float32)), TaskVector(np.ones((4, 9), np.float32))])
    with pytest.raises(UnavailableError):
        find_task("nope")
