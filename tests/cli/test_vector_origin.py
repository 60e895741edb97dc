"""A vector that may not mean here what it meant there is used, and said so, with -q too."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Runner

from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Patch, fault, fault_sentence, lead
from tvcli.vector import ModelInfo, Part, Provenance, TaskVector, combine, load, save, to_bytes

FAKE = FakeEngine().model
QA = "Q:{x}\nA:"


def changed(vector: TaskVector, **changes: object) -> TaskVector:
    return TaskVector(vector.rows, replace(vector.provenance, **{"template": QA, **changes}))  # type: ignore[arg-type]


def warnings(err: str) -> list[str]:
    return [line.removeprefix("warning: ") for line in err.splitlines() if line.startswith("warning: ")]


# -- apply ------------------------------------------------------------------------------------------------------------

MADE_ELSEWHERE = [
    ({}, []),
    ({"template": ""}, []),  # of an instruction
    ({"template": "chat"}, ["the vector was read in the template 'chat', the query has the template 'Q:{x}\\\\nA:'"]),
    ({"delimiter": "\n"}, ["the vector was read at the token '\\\\n', the query ends in ':'"]),
    (
        {"model": replace(FAKE, name="other", digest="x")},
        ["the vector was read with other (fake, 6 layers × 16) and is used with fake (fake, 6 layers × 16)"],
    ),
    (
        {"model": replace(FAKE, quantization="Q2_K")},
        [
            "the vector was read with fake (fake, 6 layers × 16) Q2_K and is used with fake (fake, 6 layers × 16) "
            "of unknown quantization"
        ],
    ),
]


@pytest.mark.parametrize("quiet", [[], ["-q"]], ids=["", "quiet"])
@pytest.mark.parametrize(("changes", "said"), MADE_ELSEWHERE, ids=str)
def test_apply_warns_of_another_model_template_or_token(
    tv: Runner, vector: TaskVector, changes: dict[str, object], said: list[str], quiet: list[str]
) -> None:
    ran = tv("apply", "-", "-t", "x", *quiet, stdin=to_bytes(changed(vector, **changes)))
    assert ran.code == 0
    assert warnings(ran.err) == [line.replace("\\\\n", "\\n") for line in said]


@pytest.mark.parametrize(
    ("seen", "option", "warned"),
    [
        ("paper", [], "images as in the paper's code, those of the queries are at full size"),
        ("paper", ["--picture", "paper"], ""),
        ("model", ["--picture", "paper"], "images at full size, those of the queries are as in the paper's code"),
        ("", ["--picture", "paper"], ""),  # from text, or by an older tv
        ("of a later tv", [], ""),
    ],
)
def test_apply_warns_of_other_pixels_where_a_query_is_an_image(
    tv: Runner, vector: TaskVector, picture: Path, seen: str, option: list[str], warned: str
) -> None:
    given = to_bytes(changed(vector, picture=seen))
    ran = tv("apply", "-", "-i", picture, *option, stdin=given)
    said = [f"the vector was read from {warned}; see --picture"] if warned else []
    assert (ran.code, warnings(ran.err)) == (0, said)
    assert warnings(tv("apply", "-", "-t", "x", stdin=given).err) == []


def test_vectors_of_other_pixels_are_combined_with_a_warning(tv: Runner, vector: TaskVector, tmp_path: Path) -> None:
    for seen in ("model", "paper"):
        save(changed(vector, picture=seen), tmp_path / f"{seen}.npy")
    ran = tv("combine", tmp_path / "model.npy", tmp_path / "paper.npy", "-o", tmp_path / "sum.npy")
    assert warnings(ran.err) == ["the vectors were read from images of different pixels: 'model' and 'paper'"]


def test_the_parts_of_a_combination_are_spoken_of(tv: Runner, vector: TaskVector) -> None:
    parts = [changed(vector), changed(vector, template="chat", delimiter="?"), changed(vector, model=None)]
    twice = combine([combine(parts, [1, 1, 1]), changed(vector)], [1, 1])
    assert [leaf.delimiter for leaf in twice.provenance.leaves()] == [":", "?", ":", ":"]
    ran = tv("apply", "-", "-t", "x", stdin=to_bytes(twice))
    assert warnings(ran.err) == [
        f"the vector was read in the template 'chat', the query has the template {QA!r}",
        "the vector was read at the token '?', the query ends in ':'",
    ]


def test_a_part_that_somebody_wrote_by_hand_says_nothing(vector: TaskVector) -> None:
    parts = (Part(weight=1.0, vector={"format": 9}), Part(weight=1.0, vector=vector.provenance.to_json()))
    assert Provenance(parts=parts).leaves() == [vector.provenance]


@pytest.mark.parametrize("command", [["lens", "--vector", "v.npy"], ["show", "--decode", "v.npy"]], ids=str)
def test_the_lens_warns_of_another_model(
    tv: Runner, vector: TaskVector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save(changed(vector, model=replace(FAKE, name="other")), "v.npy")
    ran = tv(*command, "-m", "fake")
    assert ran.code == 0
    assert warnings(ran.err) == [
        "the vector was read with other (fake, 6 layers × 16) and is used with fake (fake, 6 layers × 16)"
    ]
    save(changed(vector), "v.npy")
    assert not warnings(tv(*command, "-m", "fake").err)


def test_a_row_of_zeros_is_spoken_of_if_it_is_patched(tv: Runner, vector: TaskVector) -> None:
    rows = vector.rows.copy()
    rows[[1, 4]] = 0
    data = to_bytes(TaskVector(rows, vector.provenance))
    assert not warnings(tv("apply", "-", "-t", "x", "-l", 2, stdin=data).err)
    words = "the vector is zero at layer{}; a patch there erases the residual"
    assert warnings(tv("apply", "-", "-t", "x", "-l", 4, stdin=data).err) == [words.format(" 4")]
    assert warnings(tv("apply", "-", "-t", "x", "-l", "all", stdin=data).err) == [words.format("s 1, 4")]


# -- combine ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"template": "", "model": None, "delimiter": ""}, []),
        ({"template": "chat"}, [f"the vectors were read in different templates: {QA!r} and 'chat'"]),
        ({"delimiter": "?"}, ["the vectors were read at different tokens: ':' and '?'"]),
        (
            {"model": replace(FAKE, name="other")},
            [
                "the vectors were read with different models: "
                "fake (fake, 6 layers × 16) and other (fake, 6 layers × 16)",
            ],
        ),
    ],
    ids=str,
)
def test_combine_warns_of_parts_that_disagree(
    tv: Runner, vector: TaskVector, tmp_path: Path, changes: dict[str, object], said: list[str]
) -> None:
    save(changed(vector), tmp_path / "a.npy")
    save(changed(vector, **changes), tmp_path / "b.npy")
    ran = tv("combine", "-q", tmp_path / "a.npy", tmp_path / "b.npy", "-o", tmp_path / "c.npy")
    assert ran.code == 0
    assert warnings(ran.err) == said


def test_a_vector_of_the_last_release_and_one_of_now_are_of_one_model(vector: TaskVector) -> None:
    whole = ModelInfo("gemma3", "Gemma", 6, 16, "Q4_K_M", "0123456789abcdef" + 32 * "1")
    old = changed(vector, model=replace(whole, digest=whole.digest[:16]))
    total = combine([old, changed(vector, model=whole)], [1, 1])
    assert total.provenance.model == whole


def test_an_ensemble_of_an_evaluation_is_meant_and_not_spoken_of(tv: Runner) -> None:
    """In a chat template, examples and an instruction end in different tokens."""
    given = ["-T", "food-color", "--limit", 6, "--seeds", 1, "--layer", 2, "--query", "text"]
    ran = tv("eval", "-q", "-m", "fake", "--source", "ensemble", "--chat", *given)
    assert ran.code == 0, ran.err
    assert not warnings(ran.err)


# -- answers that mean nothing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logits", "problem"),
    [
        ([0.0, 0.0, 0.0], "all equal"),
        ([np.nan, np.nan, np.nan], "not finite"),
        ([np.inf, np.inf, np.inf], "not finite"),
        ([1.0, 2.0, 1.0], ""),
        ([1.0, 1.0, 2.0], ""),
    ],
)
def test_logits_that_choose_nothing_are_known(logits: list[float], problem: str) -> None:
    assert fault(np.array(logits, np.float32)) == problem


def test_a_lead_is_always_a_number() -> None:
    assert (lead(3.0, 1.0), lead(np.inf, np.inf), lead(np.nan, 1.0), lead(np.inf, 1.0)) == (2.0, 0.0, 0.0, 0.0)


def test_the_sentence_names_the_layer() -> None:
    words = "the model's logits are all equal, so the answer means nothing"
    assert fault_sentence(Patch(3, np.zeros(4, np.float32)), "all equal") == f"after overwriting layer 3 {words}"
    assert fault_sentence(None, "all equal") == words


@pytest.mark.parametrize(("value", "problem"), [(0.0, "all equal"), (np.nan, "not finite")])
def test_apply_warns_of_an_answer_that_means_nothing(
    tv: Runner, made: Path, monkeypatch: pytest.MonkeyPatch, value: float, problem: str
) -> None:
    def logits(_: FakeEngine, prompts: list[object], patches: list[object] | None = None) -> np.ndarray:
        return np.full((len(prompts), len(patches or [None]), 12), value, np.float32)

    monkeypatch.setattr(FakeEngine, "logits", logits)
    ran = tv("apply", made, "-q", "-t", "x", "-l", 4, "--json", "-n", 1)
    assert ran.code == 0
    assert warnings(ran.err) == [
        f"after overwriting layer 4 the model's logits are {problem}, so the answer means nothing"
    ]
    assert json.loads(ran.out, parse_constant=pytest.fail)["margin"] == 0


# -- a layer that nothing chose ---------------------------------------------------------------------------------------


def test_select_layer_warns_if_nothing_was_right(tv: Runner, tmp_path: Path) -> None:
    pairs, path = tmp_path / "p.txt", tmp_path / "v.npy"
    pairs.write_text("a\tzzz\nb\tzzy\nc\tzzx\n")
    ran = tv("extract", "-q", "-e", pairs, "-o", path, "--select-layer")
    assert ran.code == 0
    words = "no layer answers any of the example queries correctly; the vector's layer is 0 all the same"
    assert warnings(ran.err) == [words]
    assert (load(path).provenance.layer, load(path).provenance.accuracy) == (0, 0.0)


def test_select_layer_says_how_much_was_right(
    tv: Runner, pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tvcli.cli.work.extract.layer_accuracy", lambda *_: np.array([0, 0.4, 0.2, 0, 0, 0]))
    ran = tv("extract", "-e", pairs_file, "-o", tmp_path / "v.npy", "--select-layer")
    assert "layer 1 answers 40% of the example queries correctly" in ran.err
    assert not warnings(ran.err)


@pytest.fixture
def hopeless(tmp_path: Path) -> Path:
    """A task whose answers the fake model never gives."""
    folder = tmp_path / "hopeless"
    folder.mkdir()
    (folder / "task.toml").write_text('description = "d"\ninstruction = "i:"\n')
    lines = [
        json.dumps({"input": f"x{number}", "output": "zzz", "split": "validation" if number < 4 else "test"})
        for number in range(8)
    ]
    (folder / "examples.jsonl").write_text("\n".join(lines))
    return folder


def test_eval_warns_if_validation_found_nothing_right(tv: Runner, hopeless: Path) -> None:
    given = ["eval", "-q", "-m", "fake", "-T", hopeless, "--query", "text", "--seeds", 1, "--shots", 2, "--json"]
    ran = tv(*given)
    assert ran.code == 0
    words = "text → text: no layer answers any validation query correctly; layer 0 is patched all the same"
    assert warnings(ran.err) == [words]
    assert not warnings(tv(*given, "--layer", 2).err)
