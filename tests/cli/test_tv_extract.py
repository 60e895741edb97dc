"""`tv extract` on the fake engine: the vector, its provenance, pipes, and outputs that cannot be written."""

from pathlib import Path

import numpy as np
import pytest
from conftest import PAIRS, Runner

from tvcli.cli.work import extract
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Engine
from tvcli.metrics import Judge, Metric
from tvcli.prompts.prompt import Example, sample_in_context
from tvcli.vector import TaskVector, load


def test_extract_writes_the_mean_residual_and_its_provenance(made: Path) -> None:
    engine = FakeEngine()
    prompts = sample_in_context([Example(x, y) for x, y in PAIRS], shots=5, prompts=None, seed=1)
    vector = load(made)
    assert np.allclose(vector.rows, engine.read(prompts).mean(0), atol=1e-6)
    origin = vector.provenance
    assert origin.model == engine.model
    assert (origin.source, origin.prompts, origin.shots, origin.seed) == ("text examples", 5, 5, 1)
    assert (origin.delimiter, origin.layer) == (":", None)


def test_extract_says_what_was_read_where(tv: Runner, pairs_file: Path, tmp_path: Path) -> None:
    ran = tv("extract", "-e", pairs_file, "-o", tmp_path / "v.npy")
    assert ran.out == ""
    assert "read 5 prompts of 5 examples (text examples) with fake (fake, 6 layers × 16), layers 0 to 5" in ran.err
    assert "at the delimiter ':'" in ran.err
    assert tv("extract", "-q", "-e", pairs_file, "-o", tmp_path / "v.npy").err == ""


def test_extract_reads_and_writes_pipes(tv: Runner, pairs_file: Path, made: Path) -> None:
    ran = tv("extract", "-e", "-", "-o", "-", stdin=pairs_file.read_bytes())
    assert ran.raw == made.read_bytes()


def test_extract_is_reproducible_and_the_seed_matters(tv: Runner, pairs_file: Path) -> None:
    def extract(*more: object) -> bytes:
        return tv("extract", "-e", pairs_file, "-o", "-", "--shots", 3, "--prompts", 4, *more).raw

    assert extract("--seed", 7) == extract("--seed", 7)
    assert extract("--seed", 7) != extract("--seed", 8)


def test_few_pairs_work_and_say_how_many_shots_were_used(tv: Runner, tmp_path: Path) -> None:
    ran = tv("extract", "-e", "-", "-o", tmp_path / "v.npy", stdin=b"a\tb\nc\td\n")
    assert ran.code == 0
    assert "only 2 examples: 2 shots per prompt instead of 5" in ran.err
    assert load(tmp_path / "v.npy").provenance.shots == 2


def test_extract_from_an_instruction(tv: Runner, tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    assert tv("extract", "--instruction", "The capital city of the country:", "-o", path).code == 0
    origin = load(path).provenance
    assert (origin.source, origin.prompts) == ("instruction", 1)
    assert origin.instruction == "The capital city of the country:"


def test_both_sources_are_kept_apart(tv: Runner, pairs_file: Path, made: Path, tmp_path: Path) -> None:
    assert tv("extract", "-e", pairs_file, "--instruction", "Name it", "-o", tmp_path / "two.npy").code == 0
    assert (tmp_path / "two.examples.npy").read_bytes() == made.read_bytes()
    assert load(tmp_path / "two.instruction.npy").provenance.source == "instruction"
    assert not (tmp_path / "two.npy").exists()


def test_image_examples_are_another_source(tv: Runner, picture: Path, tmp_path: Path) -> None:
    pairs = f"@{picture}\tred\nblood\tred\n".encode()
    assert tv("extract", "-e", "-", "-o", tmp_path / "v.npy", stdin=pairs).code == 0
    assert load(tmp_path / "v.npy").provenance.source == "mixed examples"


def test_a_vector_says_which_pixels_of_images_it_was_read_from(tv: Runner, picture: Path, tmp_path: Path) -> None:
    pairs, file = tmp_path / "pairs.txt", tmp_path / "v.npy"
    for inputs, options, seen in (
        (f"@{picture.name}\ta\nx\tb\n", [], "model"),
        (f"@{picture.name}\ta\nx\tb\n", ["--picture", "paper"], "paper"),
        ("x\ta\ny\tb\n", ["--picture", "paper"], ""),
    ):
        pairs.write_text(inputs)
        assert tv("extract", "-e", pairs, "-o", file, *options).code == 0
        assert load(file).provenance.picture == seen
        assert (b'"picture"' in file.read_bytes()) == bool(seen)  # as older versions write it where there are none
        assert ("as in the paper's code" in tv("show", file).out) == (seen == "paper")


def test_the_layer_can_be_selected_on_the_examples(tv: Runner, pairs_file: Path, tmp_path: Path) -> None:
    ran = tv("extract", "-e", pairs_file, "--select-layer", "-o", tmp_path / "v.npy")
    origin = load(tmp_path / "v.npy").provenance
    assert origin.layer is not None
    assert origin.layer_selection == "best on its own examples"
    assert origin.accuracy == 0
    assert "no layer answers any of the example queries correctly" in ran.err


def test_an_unwritable_output_loses_nothing(tv: Runner, pairs_file: Path, tmp_path: Path, vector: TaskVector) -> None:
    target = tmp_path / "folder.npy"
    target.mkdir()
    ran = tv("extract", "-e", pairs_file, "-o", target)
    assert ran.code == 3
    assert "cannot be written" in ran.err
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_full_disk_is_reported_and_leaves_the_old_file(tv: Runner, pairs_file: Path, made: Path) -> None:
    resource = pytest.importorskip("resource")
    old = made.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        ran = tv("extract", "-e", pairs_file, "-o", made, "--seed", 9)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert ran.code == 3
    assert "cannot be written: file too large" in ran.err
    assert made.read_bytes() == old
    assert not [p for p in made.parent.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(("given", "used"), [([], Metric.PAPER), *((["--metric", one], one) for one in Metric)])
def test_layers_are_judged_by_the_metric(
    tv: Runner, pairs_file: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], used: Metric
) -> None:
    judges: list[Judge] = []

    def accuracy(
        engine: Engine, vector: TaskVector, examples: list[Example], progress: object, judge: Judge
    ) -> np.ndarray:
        judges.append(judge)
        return np.zeros(vector.n_layer)

    monkeypatch.setattr(extract, "layer_accuracy", accuracy)
    assert (
        tv("extract", "--examples", pairs_file, "--select-layer", *given, "-o", pairs_file.with_name("v.npy")).code == 0
    )
    assert judges == [Judge(used)]


def test_a_metric_without_anything_to_judge_is_refused(tv: Runner, pairs_file: Path) -> None:
    ran = tv("extract", "--examples", pairs_file, "--metric", "exact", "-o", pairs_file.with_name("v.npy"))
    assert (ran.code, ran.err) == (2, "tv: --metric needs --select-layer\n")
