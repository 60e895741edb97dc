"""What the fake cannot prove: llama.cpp does what tv says it does. Gemma 3 270M with picto's tower, SmolLM2."""

import importlib.util
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DATA, ROOT, Process
from gguf import GGUFReader
from gguf.quants import dequantize
from PIL import Image as Pillow

from tvcli.cli import main
from tvcli.engine.llama import LlamaEngine
from tvcli.engine.native.library import load
from tvcli.engine.protocol import Decoding, Patch, tail
from tvcli.errors import UnavailableError, UsageError
from tvcli.images import Image, load_image
from tvcli.inputs.examples import read_examples
from tvcli.method.extract import from_examples
from tvcli.method.lens import decode
from tvcli.models.opening import ModelRequest
from tvcli.models.resolve import resolve
from tvcli.prompts.prompt import QA, in_context, instruction, prompt_of, zero_shot
from tvcli.vector import TaskVector, save

pytestmark = pytest.mark.model
CAPITALS = DATA / "capitals.txt"
FLAGS = DATA / "flags"
NEAR_TIE = 0.5  # logits: below it, kernels of differently shaped batches may disagree on the top token


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaEngine]:
    files = resolve("picto")
    with LlamaEngine(files.text, files.vision) as opened:
        yield opened


@pytest.fixture(scope="module")
def capital(engine: LlamaEngine) -> TaskVector:
    return from_examples(engine, read_examples(str(CAPITALS)), prompts=10)


def flag(name: str) -> Image:
    return load_image(FLAGS / f"{name}.png")


def test_a_capital_comes_out_of_a_flag(engine: LlamaEngine, capital: TaskVector) -> None:
    """The paper's effect: a vector from words alone makes pictures answer."""
    prompts = [zero_shot(flag(name)) for name in ("fr", "it", "jp", "eg")]
    answers = [row[0].text.strip() for row in engine.answer(prompts, [Patch.of(capital, 10)], Decoding(2))]
    plain = [row[0].text.strip() for row in engine.answer(prompts, [None], Decoding(2))]
    expected = ["Paris", "Rome", "Tokyo", "Cairo"]
    assert sum(a.startswith(e) for a, e in zip(answers, expected, strict=True)) >= 3
    assert not any(p.startswith(e) for p, e in zip(plain, expected, strict=True))


def test_picture_and_text_queries_end_in_the_same_delimiter(engine: LlamaEngine) -> None:
    image = flag("fr")
    prompts = [
        zero_shot("France"),
        zero_shot(image),
        in_context(read_examples(str(CAPITALS))[:5]),
        instruction("The capital"),
    ]
    prompts.append(QA.render([(flag("it"), "Rome"), (image, None)]))
    assert len({tail(engine, prompt, 1)[-1].id for prompt in prompts}) == 1
    assert [token.text for token in tail(engine, zero_shot(image), 3)] == ["\n", "A", ":"]


@pytest.mark.parametrize("x", ["text", "image"])
def test_llama_cpps_own_adapter_agrees_with_the_patch(engine: LlamaEngine, capital: TaskVector, x: str) -> None:
    prompt = zero_shot("Egypt" if x == "text" else flag("eg"))
    [plain] = engine.logits([prompt])[0]
    for layer in (1, 9, 17):
        patch = Patch.of(capital, layer)
        [patched] = engine.logits([prompt], [patch])[0]
        assert np.abs(engine.logits_by_adapter(prompt, patch) - patched).max() < 1e-3
        assert np.abs(plain - patched).max() > 0.1
    with pytest.raises(UsageError, match="start at layer 1"):
        engine.logits_by_adapter(prompt, Patch.of(capital, 0))
    assert np.array_equal(engine.logits([prompt])[0, 0], plain)  # the adapter is gone again


@pytest.mark.parametrize("x", ["Egypt", "Norway", "eg", "jp"])
def test_a_sweep_gives_the_tokens_of_single_runs_except_near_ties(
    engine: LlamaEngine, capital: TaskVector, x: str
) -> None:
    prompt = zero_shot(flag(x) if len(x) == 2 else x)
    patches = [Patch.of(capital, layer) for layer in range(engine.model.n_layer)]
    [sweep] = engine.answer([prompt], patches)
    single = [engine.answer([prompt], [patch])[0][0] for patch in patches]
    for one, other in zip(sweep, single, strict=True):
        assert one.first == other.first or min(one.margin, other.margin) < NEAR_TIE
    assert engine.answer([prompt], patches) == [sweep]


def test_neighbors_in_a_batch_of_the_same_shape_change_no_bit(engine: LlamaEngine, capital: TaskVector) -> None:
    patches = [None, Patch.of(capital, 9)]
    among = engine.logits([zero_shot("Egypt"), zero_shot("Norway"), zero_shot("Chile")], patches)
    others = engine.logits([zero_shot("Egypt"), zero_shot("France"), zero_shot("Japan")], patches)
    assert np.array_equal(among[0], others[0])


def test_control_tokens_in_text_stay_text(engine: LlamaEngine) -> None:
    odd = "<__media__> <image> <start_of_image> <end_of_turn> <bos>"
    text = [token.text for token in tail(engine, zero_shot(odd), 40)]
    assert not {"<start_of_image>", "<end_of_turn>", "<image>"} & set(text)
    with_image = prompt_of(f"Q:{odd}", flag("fr"), f"{odd}\nA:")
    assert engine.answer([with_image], decoding=Decoding(4))[0][0].tokens
    assert tail(engine, with_image, 60)[-1].text == ":"


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (3000, 20), (37, 53)])
def test_odd_sizes_of_pictures_are_answered(engine: LlamaEngine, size: tuple[int, int]) -> None:
    image = Image(np.asarray(Pillow.new("RGB", size, "red")), "odd")
    assert engine.answer([zero_shot(image)])[0][0].tokens


def test_a_picture_without_a_short_side_is_refused(engine: LlamaEngine) -> None:
    with pytest.raises(UnavailableError, match="too narrow"):
        engine.answer([zero_shot(Image(np.zeros((1, 2000, 3), np.uint8), "thin.png"))])


def test_image_examples_give_a_vector_too(engine: LlamaEngine) -> None:
    lines = [line.split("\t") for line in (FLAGS / "flags.txt").read_text().splitlines()]
    examples = [e for e in read_examples(str(FLAGS / "flags.txt")) if e.is_image]
    assert len(examples) == len(lines)
    vector = from_examples(engine, examples)
    assert vector.provenance.source == "image examples"
    assert vector.rows.shape == (18, 640)


def test_the_lens_is_the_models_own_norm_and_head(engine: LlamaEngine) -> None:
    """Against NumPy: RMS norm and the dequantized head, top token at every layer."""
    reader = GGUFReader(resolve("picto").text)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    norm, head = (
        dequantize(t.data, t.tensor_type) for t in (tensors["output_norm.weight"], tensors["token_embd.weight"])
    )
    epsilon = float(reader.fields["gemma3.attention.layer_norm_rms_epsilon"].contents())
    for country in ("Greece", "France", "Japan", "Peru", "Kenya"):
        [rows] = engine.read([zero_shot(country)])
        scaled = rows / np.sqrt((rows.astype(np.float64) ** 2).mean(1, keepdims=True) + epsilon) * norm
        logits = scaled.astype(np.float32) @ head.T
        lens = decode(engine, rows)
        for layer in range(engine.model.n_layer):
            best, second = np.sort(logits[layer])[[-1, -2]]
            assert lens[layer].argmax() == logits[layer].argmax() or best - second < NEAR_TIE


# -- whole processes --------------------------------------------------------------------------------------


def run(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "tvcli", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)


def test_a_forgotten_picture_is_encoded_again_and_answers_the_same(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = load().mtmd_encode_chunk

    def counted(*given: object) -> object:
        encoded.append(1)
        return encode(*given)

    monkeypatch.setattr(load(), "mtmd_encode_chunk", counted)
    answers = []
    for _ in range(2):
        engine.forget(flag("fr"))
        answers += [engine.answer([zero_shot(flag("fr"))])[0][0].tokens for _ in range(2)]
    assert len(encoded) == 2
    assert len(set(answers)) == 1


@pytest.fixture(scope="module")
def vector_file(capital: TaskVector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vector") / "capital.npy"
    save(capital, path)
    return path


def mixed_runs(vector: Path) -> list[list[object]]:
    """20 commands: patched and not, images and text, one layer and all."""
    runs: list[list[object]] = []
    for name, country in [("fr", "France"), ("it", "Italy"), ("jp", "Japan"), ("eg", "Egypt"), ("br", "Brazil")]:
        runs += [
            ["apply", vector, "-i", FLAGS / f"{name}.png", "-n", 6],
            ["prompt", "-t", country, "-n", 6],
            ["apply", vector, "-t", country, "--layer", "all", "-n", 3],
            ["prompt", "-i", FLAGS / f"{name}.png", "-e", CAPITALS, "-n", 6],
        ]
    return runs


def test_twenty_mixed_runs_answer_as_twenty_fresh_processes_do(
    vector_file: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """One engine for all runs in this process, a new process for each of the others: byte-identical answers."""
    made: list[LlamaEngine] = []
    make = LlamaEngine.__init__

    def counted(engine: LlamaEngine, *given: Any) -> None:
        made.append(engine)
        make(engine, *given)

    monkeypatch.setattr(LlamaEngine, "__init__", counted)
    together = []
    with ModelRequest("picto").open() as loaded:
        monkeypatch.setattr(ModelRequest, "open", lambda request: nullcontext(loaded))
        for arguments in mixed_runs(vector_file):
            assert main([*map(str, arguments), "--json"]) == 0
            together.append(capsysbinary.readouterr().out)
    assert made == [loaded.engine]
    for arguments, answer in zip(mixed_runs(vector_file), together, strict=True):
        assert run(*arguments, "--json").stdout == answer


def test_an_image_without_an_mmproj_is_refused() -> None:
    ran = run("prompt", "-i", FLAGS / "fr.png", "-m", "gemma3-270m")
    assert ran.returncode == 2
    assert b"has no image encoder; add " in ran.stderr


def test_a_closed_pipe_ends_quietly(vector_file: Path) -> None:
    arguments: list[str | Path] = [sys.executable, "-m", "tvcli", "apply", vector_file, "-i", FLAGS, "-n", "3"]
    with Process(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        noise = process.stderr.read().decode()
    assert process.returncode == 0
    assert "Traceback" not in noise
    assert "BrokenPipe" not in noise


def test_ctrl_c_ends_at_once_with_130_and_keeps_what_was_answered(vector_file: Path) -> None:
    arguments: list[str | Path] = [sys.executable, "-m", "tvcli", "apply", vector_file, "--queries", "-", "--json"]
    pipe = subprocess.PIPE
    with Process(arguments, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"France\nItaly\n")
        process.stdin.flush()
        first = json.loads(process.stdout.readline())  # answered while the pipe is still open
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        process.wait(timeout=20)
        assert time.monotonic() - started < 10
        noise = process.stderr.read().decode()
    assert first["input"] == "France"
    assert process.returncode == 130
    assert "Traceback" not in noise


def test_ctrl_c_in_the_middle_of_a_decode_is_not_lost(engine: LlamaEngine) -> None:
    prompt = zero_shot("word " * 1500)
    for delay in (0.05, 0.2, 0.4):
        timer = threading.Timer(delay, signal.raise_signal, [signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            engine.logits([prompt] * 20)
        timer.join()
    assert engine.answer([zero_shot("France")])[0][0].tokens


@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
@pytest.mark.parametrize(("name", "country"), [("fr", "France"), ("br", "Brazil"), ("eg", "Egypt")])
def test_picto_is_a_normal_mmproj_to_others(name: str, country: str) -> None:
    files = resolve("picto")
    assert files.vision is not None
    program = ROOT / "tests" / "other_program.py"
    command: list[str | Path] = [sys.executable, program, files.text, files.vision, FLAGS / f"{name}.png"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode == -signal.SIGILL:
        pytest.skip("llama-cpp-python's own classes crash on this processor: they do not leave out AMX")
    assert ran.stdout.startswith(country), ran.stderr
