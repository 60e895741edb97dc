"""The same model on this machine's CPU and elsewhere: residuals, patched logits and answers, layer by layer.

    python backends.py --rpc 127.0.0.1:50052 [--same-kernels]

llama.cpp repacks quantized weights for the local CPU, and then uses other kernels; it does not repack for
the CPU of an rpc-server. With --same-kernels it does not repack on this machine either.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvcli.engine.native.library import load
from tvcli.engine.protocol import Decoding, Engine, Patch, Settings
from tvcli.images import load_image
from tvcli.inputs.examples import read_examples
from tvcli.method.extract import from_examples
from tvcli.models.opening import open_model
from tvcli.prompts.prompt import zero_shot
from tvcli.vector import TaskVector

DEFAULT_PARAMS = load().llama_model_default_params
DATA = Path(__file__).parent.parent / "tests" / "data"
SHOWN = {
    "text": (str(DATA / "capitals.txt"), [zero_shot(x) for x in ("France", "Egypt", "Norway")]),
    "image": (
        str(DATA / "flags" / "flags.txt"),
        [zero_shot(load_image(DATA / "flags" / f"{x}.png")) for x in ("fr", "eg", "jp")],
    ),
}


@dataclass(frozen=True)
class Seen:
    """The compared results, for one modality."""

    vector: np.ndarray  # float32 (L, D)
    residuals: np.ndarray  # float32 (N, L, D)
    logits: np.ndarray  # float32 (N, L, V), one layer patched per batch
    swept: np.ndarray  # float32 (N, L, V), all layers in one batch
    answers: list[list[str]]  # N × L, of eight tokens


def see(engine: Engine, modality: str, patching: TaskVector | None) -> Seen:
    """`patching` is the vector to patch with, the same on both sides; by default the one read here."""
    source, queries = SHOWN[modality]
    vector = from_examples(engine, read_examples(source), prompts=6)
    used = patching or vector
    patches = [Patch.of(used, layer) for layer in range(vector.n_layer)]
    return Seen(
        vector.rows,
        engine.read(queries),
        np.array([[engine.logits([one], [patch])[0, 0] for patch in patches] for one in queries]),
        np.concatenate([engine.logits([one], patches) for one in queries]),
        [[answer.text for answer in row] for one in queries for row in engine.answer([one], patches, Decoding(8))],
    )


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.asarray((a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1))


def compare(here: Seen, there: Seen) -> Iterator[str]:
    for name in ("vector", "residuals", "logits", "swept"):
        a, b = getattr(here, name), getattr(there, name)
        equal = "bit-equal" if np.array_equal(a, b) else f"differ by up to {np.abs(a - b).max():.3g}"
        yield f"{name} {equal}, lowest cosine {cosine(a, b).min():.7f}"
    for name in ("logits", "swept"):
        equal = getattr(here, name).argmax(-1) == getattr(there, name).argmax(-1)
        yield f"first tokens of {name} {equal.sum()} of {equal.size}"
    pairs = [pair for rows in zip(here.answers, there.answers, strict=True) for pair in zip(*rows, strict=True)]
    yield f"answers {sum(a == b for a, b in pairs)} of {len(pairs)}"


def without_repacking() -> object:
    params = DEFAULT_PARAMS()
    params.use_extra_bufts = False
    return params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rpc", action="append", default=[])
    parser.add_argument("--model", default="picto")
    parser.add_argument("--mmproj")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gpu-layers", type=int)
    parser.add_argument("--same-kernels", action="store_true")
    options = parser.parse_args()
    if options.same_kernels:
        vars(load())["llama_model_default_params"] = without_repacking
    here: dict[str, tuple[TaskVector, Seen]] = {}
    with open_model(options.model, options.mmproj, Settings(threads=options.threads, gpu_layers=0)) as loaded:
        for modality in SHOWN if loaded.engine.has_vision else ["text"]:
            vector = from_examples(loaded.engine, read_examples(SHOWN[modality][0]), prompts=6)
            here[modality] = vector, see(loaded.engine, modality, vector)
    settings = Settings(threads=options.threads, gpu_layers=options.gpu_layers, rpc=tuple(options.rpc))
    with open_model(options.model, options.mmproj, settings) as loaded:
        memory = loaded.engine.buffers
        print("layers in", {name: list(memory).count(name) for name in memory})
        for modality, (vector, seen) in here.items():
            for line in compare(seen, see(loaded.engine, modality, vector)):
                print(f"{modality}: {line}", flush=True)


if __name__ == "__main__":
    main()
