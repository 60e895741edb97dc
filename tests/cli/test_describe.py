"""A vector in words, as `tv show` prints it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import Runner

from tvcli.cli.work.describe import describe_lines, describe_record, sparkline
from tvcli.vector import ModelInfo, Part, Provenance, TaskVector, save

MODEL = ModelInfo("arch", "name", 2, 2, "Q4_0", "abc")

ORIGIN = Provenance(
    model=MODEL,
    source="text examples",
    template="Q:{x}\nA:",
    delimiter_id=7,
    delimiter=":",
    prompts=4,
    shots=3,
    seed=9,
    layer=1,
    layer_selection="best",
    accuracy=0.256,
    tv_version="1.2",
)

ROWS = np.array([[30, 40], [1 / 3, 0]], np.float32)


def test_a_repair_of_images_is_shown(tv: Runner, tmp_path: Path) -> None:
    save(TaskVector(ROWS, replace(ORIGIN, vision="class token first, 23 blocks")), tmp_path / "v.npy")
    assert "images      repaired: class token first, 23 blocks\n" in tv("show", tmp_path / "v.npy").out
    assert json.loads(tv("show", tmp_path / "v.npy", "--json").out)["vision"] == "class token first, 23 blocks"


def test_a_vector_with_full_provenance_is_shown_line_by_line(tv: Runner, tmp_path: Path) -> None:
    save(TaskVector(ROWS, ORIGIN), tmp_path / "v.npy")
    ran = tv("show", tmp_path / "v.npy")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "shape       2 layers × 2, float32",
        "model       name (arch, 2 layers × 2) Q4_0",
        "source      text examples",
        "prompts     4 of 3 examples, seed 9",
        "template    Q:{x}\\nA:",
        "delimiter   : (token 7)",
        "layer       1 (best, 26%)",
        "norms       █▁ 0 to 50, layer 0 to 1",
        "written by  tv 1.2",
    ]
    whole = {
        "layers": 2,
        "width": 2,
        "norms": [50.0, 0.3333],
        "format": 1,
        "model": {
            "architecture": "arch",
            "name": "name",
            "n_layer": 2,
            "n_embd": 2,
            "quantization": "Q4_0",
            "digest": "abc",
        },
        "source": "text examples",
        "template": "Q:{x}\nA:",
        "instruction": "",
        "delimiter_id": 7,
        "delimiter": ":",
        "prompts": 4,
        "shots": 3,
        "seed": 9,
        "layer": 1,
        "layer_selection": "best",
        "accuracy": 0.256,
        "tv_version": "1.2",
        "parts": [],
    }
    assert describe_record(TaskVector(ROWS, ORIGIN)) == whole
    assert tv("show", tmp_path / "v.npy", "--json").code == 0


def test_a_vector_of_unknown_origin_has_four_lines() -> None:
    assert describe_lines(TaskVector(ROWS)) == [
        ("shape", "2 layers × 2, float32"),
        ("model", "not recorded"),
        ("source", "unknown"),
        ("layer", "none selected"),
        ("norms", "█▁ 0 to 50, layer 0 to 1"),
    ]


def test_what_is_known_of_an_instruction_or_a_combination_is_shown() -> None:
    told = Provenance(
        model=replace(MODEL, quantization=""), instruction="Say:", prompts=1, layer=0, layer_selection="x"
    )
    lines = dict(describe_lines(TaskVector(ROWS, told)))
    assert lines["model"] == "name (arch, 2 layers × 2)"
    assert (lines["instruction"], lines["prompts"], lines["layer"]) == ("Say:", "1", "0 (x)")
    summed: tuple[Part, ...] = ({"weight": 0.5, "vector": {"source": "instruction"}}, {"weight": -1.0, "vector": {}})
    made = describe_lines(TaskVector(ROWS, Provenance(parts=summed)))
    assert [line for line in made if line[0] == "part"] == [("part", "0.5 × instruction"), ("part", "-1 × unknown")]


def test_bars_rise_from_the_lowest_to_the_highest_value() -> None:
    assert sparkline(np.arange(8) + 3) == "▁▂▃▄▅▆▇█"
    assert sparkline(np.array([3.0, 3.0])) == "▁▁"
