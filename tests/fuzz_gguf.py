"""Mutates two small GGUF files; what passes tv's check is given to llama.cpp, which must not die of it.

    python tests/fuzz_gguf.py --seconds 300 --seed 1

Each case is loaded and run in a fork of this process. Cases are numbers: ``--case N`` runs one again, and
``--keep FOLDER`` writes its two files.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import select
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tiny_gguf
from gguf.constants import MODEL_ARCH_NAMES, GGMLQuantizationType, Keys
from tiny_gguf import ARRAY, BOOL, F32, I32, STRING, U16, U32, U64, File, Value

from tvcli.engine.gguf.checks import VISION_KINDS, check_mmproj, check_model
from tvcli.engine.native.library import load
from tvcli.errors import TvError

NUMBERS = [0, 1, 2, 3, 5, 7, 16, 31, 32, 33, 64, 255, 256, 257, 512, 513, 1024, 4096, 65535, 1 << 20, (1 << 31) - 1]
NUMBERS += [1 << 31, (1 << 32) - 1]
LONG = [(1 << 32) + 1, 1 << 40, 1 << 61, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
WORDS = [
    "",
    "x",
    "none",
    "llama",
    "gpt2",
    "bert",
    "t5",
    "rwkv",
    "plamo2",
    "default",
    "linear",
    "yarn",
    "longrope",
    "clip",
]
WORDS += [
    "mlp",
    "ldp",
    "ldpv2",
    "resampler",
    "adapter",
    "gemma3",
    "gemma4v",
    "idefics3",
    "internvl",
    "pixtral",
    "kimivl",
]
WORDS += ["qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "llama4", "lfm2", "minicpmv4_6", "cogvlm", "glm4v"]
WORDS += ["smollm", "llama-bpe", "qwen2", "gemma4", "\x1b[31m", "a\x00b", "é" * 300, *MODEL_ARCH_NAMES.values()]


def all_keys(architecture: str) -> list[str]:
    """Every key that the gguf package knows, written out for an architecture."""
    names: list[str] = []
    stack: list[Any] = [Keys]
    while stack:
        for name, value in vars(stack.pop()).items():
            if isinstance(value, type):
                stack.append(value)
            elif isinstance(value, str) and not name.startswith("_"):
                names.append(value.replace("{arch}", architecture))
    return names


def some_value(rng: random.Random) -> Value:
    kind = rng.choice([U32, U32, U32, I32, F32, BOOL, STRING, U64, U16, ARRAY])
    if kind == ARRAY:
        inner = rng.choice([U32, I32, F32, STRING, BOOL])
        return (ARRAY, inner, [some_scalar(rng, inner) for _ in range(rng.choice([0, 1, 2, 3, 4, 17]))])
    return (kind, some_scalar(rng, kind))


def some_scalar(rng: random.Random, kind: int) -> Any:
    number = rng.choice(NUMBERS)
    if kind == STRING:
        return rng.choice(WORDS)
    if kind == BOOL:
        return rng.random() < 0.5
    if kind == F32:
        return rng.choice([0.0, 1.0, -1.0, 1e-6, 1e30, float("inf"), float("nan")])
    if kind == U64:
        return rng.choice(NUMBERS + LONG)
    return number % 65536 if kind == U16 else number - (1 << 32) if kind == I32 and number >= 1 << 31 else number


# -- mutations --------------------------------------------------------------------------------------------


def change_value(rng: random.Random, file: File) -> File:
    """Another value of the same type."""
    key = rng.choice(list(file.keys))
    kind, *rest = file.keys[key]
    if kind != ARRAY:
        near = [rest[0] + d for d in (-1, 1) if kind == U32 and rest[0] + d >= 0]
        return replace(file, keys={**file.keys, key: (kind, rng.choice([some_scalar(rng, kind), *near]))})
    inner, values = rest
    values = list(values)
    at = rng.randrange(len(values) or 1)
    values[at : at + rng.choice([0, 1, len(values)])] = [some_scalar(rng, inner)] * rng.choice([0, 1, 2])
    return replace(file, keys={**file.keys, key: (ARRAY, inner, values)})


def retype(rng: random.Random, file: File) -> File:
    return replace(file, keys={**file.keys, rng.choice(list(file.keys)): some_value(rng)})


def drop_key(rng: random.Random, file: File) -> File:
    gone = rng.choice(list(file.keys))
    return replace(file, keys={key: value for key, value in file.keys.items() if key != gone})


def add_key(rng: random.Random, file: File) -> File:
    architecture = str(file.keys.get("general.architecture", (0, "llama"))[-1])
    names = list(VISION_KINDS) if architecture == "clip" else all_keys(architecture)
    value = some_value(rng) if rng.random() < 0.5 else (U32, some_scalar(rng, U32))
    return replace(file, keys={**file.keys, rng.choice(names): value})


def change_architecture(rng: random.Random, file: File) -> File:
    """The same model under another architecture's name, or the same tower with another projector's."""
    if file.keys.get("general.architecture") == (STRING, "clip"):
        return replace(file, keys={**file.keys, "clip.projector_type": (STRING, rng.choice(WORDS))})
    name = rng.choice(list(MODEL_ARCH_NAMES.values()))
    keys = {key.replace("llama.", f"{name}.", 1): value for key, value in file.keys.items()}
    return replace(file, keys={**keys, "general.architecture": (STRING, name)})


def change_tensor(rng: random.Random, file: File) -> File:
    tensors = list(file.tensors)
    if not tensors:
        return file
    at = rng.randrange(len(tensors))
    shape = list(tensors[at].shape)
    match rng.randrange(6):
        case 0:
            shape[rng.randrange(len(shape))] = rng.choice(NUMBERS + LONG)
        case 1:
            shape = [rng.choice([1, 16, 32, 64]) for _ in range(rng.randint(1, 4))]
        case 2:
            del tensors[at]
            return replace(file, tensors=tensors)
        case 3:
            name = rng.choice([rng.choice(tensors).name, "x", "", "y" * 70, tensors[at].name.replace("blk.0", "blk.9")])
            tensors[at] = replace(tensors[at], name=name)
            return replace(file, tensors=tensors)
        case 4:
            tensors[at] = replace(tensors[at], kind=rng.choice([*GGMLQuantizationType, 42, 99]))
            return replace(file, tensors=tensors)
        case 5:
            tensors[at] = replace(tensors[at], offset=rng.choice(NUMBERS + LONG))
            return replace(file, tensors=tensors)
    tensors[at] = replace(tensors[at], shape=tuple(shape))
    return replace(file, tensors=tensors)


MUTATIONS: list[Callable[[random.Random, File], File]] = [
    change_value,
    change_value,
    retype,
    drop_key,
    add_key,
    add_key,
    change_architecture,
    change_tensor,
]


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """Flips, counts and cuts, most of them in the header."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(rng.choice([32, 3000, 9000, len(changed)])) % max(len(changed) - 8, 1)
        match rng.randrange(5):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at] = rng.choice([0, 1, 127, 128, 255])
            case 2:
                changed[at : at + 8] = struct.pack("<Q", rng.choice(NUMBERS + LONG))
            case 3:
                del changed[at : at + rng.choice([1, 8, 100, len(changed)])]
            case 4:
                changed[at:at] = bytes(rng.choice([1, 8, 32]))
        if len(changed) < 16:
            break
    return bytes(changed)


def hostile_pair(case: int) -> tuple[bytes, bytes]:
    """A model and an mmproj file, one of them wrong."""
    rng = random.Random(case)
    files = [tiny_gguf.model(), tiny_gguf.vision()]
    at = rng.randrange(2)
    if rng.random() < 0.25:
        data = [bytes(file) for file in files]
        data[at] = mutate_bytes(rng, data[at])
        return data[0], data[1]
    for _ in range(rng.choice([1, 1, 2, 3])):
        files[at] = rng.choice(MUTATIONS)(rng, files[at])
    try:
        return bytes(files[0]), bytes(files[1])
    except (struct.error, MemoryError, ValueError):  # a value that no file can hold
        return hostile_pair(case + (1 << 32))


# -- running ----------------------------------------------------------------------------------------------


def use(model: Path, mmproj: Path) -> None:
    """Load both and answer a text and a picture."""
    from tvcli.engine.llama import LlamaEngine
    from tvcli.engine.protocol import Decoding, Settings
    from tvcli.images import Image
    from tvcli.prompts.prompt import zero_shot

    with LlamaEngine(model, mmproj, Settings(context=256, threads=1)) as engine:
        picture = Image(np.zeros((20, 30, 3), np.uint8), "black")
        engine.answer([zero_shot("x\x00é\n日")], decoding=Decoding(4))
        engine.answer([zero_shot(picture)], decoding=Decoding(2))


def outcome(model: Path, mmproj: Path, seconds: int = 20) -> str:
    """How a forked child ended: loaded, refused, stopped at an assertion, an exception of Python's, or killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        noise = os.open(model.with_name("noise"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(noise, 1)
        os.dup2(noise, 2)
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            use(model, mmproj)
            words = "loaded"
        except TvError as error:
            words = f"refused: {error}"
        except BaseException as error:
            words = f"EXCEPTION {type(error).__name__}: {error}"
        os.write(writing, words.encode("utf-8", "replace")[:4000])
        os._exit(0)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], seconds)
    words = os.read(reading, 4096).decode("utf-8", "replace") if ready else ""
    os.close(reading)
    if not ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not ready:
        return "KILLED: too slow"
    said = model.with_name("noise").read_text("utf-8", "replace")
    if os.WIFSIGNALED(status):
        return f"KILLED: {signal.Signals(os.WTERMSIG(status)).name} {said}"
    return words or f"stopped: {said}"


def run_case(case: int, folder: Path) -> str:
    model, mmproj = folder / "model.gguf", folder / "mmproj.gguf"
    for path, data in zip((model, mmproj), hostile_pair(case), strict=True):
        path.write_bytes(data)
    try:
        check_model(model)
        check_mmproj(mmproj)
    except TvError as error:
        return f"caught: {error}"
    return outcome(model, mmproj)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    os.environ["GGML_NO_BACKTRACE"] = "1"  # else llama.cpp starts a debugger
    load()  # once, before the forks

    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        if asked.case is not None:
            print(run_case(asked.case, folder))
            return 0
        tally: Counter[str] = Counter()
        end, case = time.monotonic() + asked.seconds, asked.seed * 1_000_000
        while time.monotonic() < end:
            ended = run_case(case, folder)
            kind = ended.split(":")[0]
            tally[kind] += 1
            if kind.startswith(("KILLED", "EXCEPTION", "stopped")):
                print(case, ended.strip(), flush=True)
            case += 1
        print(f"{sum(tally.values())} cases: {dict(tally)}")
    return int(any(kind.startswith(("KILLED", "EXCEPTION")) for kind in tally))


if __name__ == "__main__":
    sys.exit(main())
