"""`tv map`: points, scores and a picture."""

import json
from pathlib import Path

import pytest
from conftest import Runner

SMALL = ["-T", "food-color", "-T", "animal-young", "--limit", 5]


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_map_gives_points_scores_and_a_picture(tv: Runner, tmp_path: Path, method: str) -> None:
    ran = tv("map", *SMALL, "--method", method, "--json", "--plot", tmp_path / "map.png")
    delimiter, context = map(json.loads, ran.out.splitlines())
    assert (delimiter["token"], context["token"]) == ("delimiter", "context")
    assert len(delimiter["points"]) == 20
    assert {point["modality"] for point in delimiter["points"]} == {"text", "image"}
    assert -1 <= delimiter["silhouette_by_task"] <= 1
    assert (tmp_path / "map.png").is_file()
