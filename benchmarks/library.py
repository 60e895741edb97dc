"""Compare builds of llama.cpp: the same work, in turns, each in separate processes.

    python benchmarks/library.py FOLDER [FOLDER ...] [--rounds 5]

Each FOLDER is a value of TV_LLAMA_LIB; all are compared with the installed library.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

CAPITALS = Path(__file__).parent.parent / "tests" / "data" / "capitals.txt"


def measure() -> dict[str, float]:
    """Tokens per second of long prompts, rows per second of a sweep over all layers, tokens per second of an answer."""
    from tvcli import Decoding, Patch, open_model, read_examples, zero_shot
    from tvcli.prompts.prompt import few_shot

    examples = read_examples(str(CAPITALS))
    with open_model("gemma3-270m") as loaded:
        engine = loaded.engine
        prompts = [few_shot(example.input, examples, shots=5, seed=seed) for seed, example in enumerate(examples)]
        tokens = sum(len(engine.layout(prompt)) for prompt in prompts)
        [own] = engine.read([zero_shot("Greece")])
        patches = [Patch(layer, row) for layer, row in enumerate(own)]
        works: dict[str, tuple[int, Callable[[], object]]] = {
            "prompts, tokens/s": (tokens, lambda: engine.read(prompts)),
            "sweep, rows/s": (18 * 8, lambda: [engine.logits([zero_shot("Greece")], patches) for _ in range(8)]),
            "answer, tokens/s": (
                64,
                lambda: engine.answer([zero_shot("Greece")], decoding=Decoding(64, stop_at_newline=False)),
            ),
        }
        found = {}
        for name, (amount, work) in works.items():
            work()
            started = time.perf_counter()
            work()
            found[name] = amount / (time.perf_counter() - started)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure()))
        return
    seen: dict[str, list[dict[str, float]]] = {folder: [] for folder in ("", *options.folders)}
    for _ in range(options.rounds):
        for folder, measured in seen.items():
            ran = subprocess.run(
                [sys.executable, __file__, "--one"],
                env={**os.environ, "TV_LLAMA_LIB": folder},
                capture_output=True,
                text=True,
                check=True,
            )
            measured.append(json.loads(ran.stdout))
    for folder, measured in seen.items():
        print(folder or "installed")
        for name in measured[0]:
            median, base = (statistics.median(one[name] for one in seen[of]) for of in (folder, ""))
            print(f"  {name}: {median:.1f}, {median / base:.2f} × installed")


if __name__ == "__main__":
    main()
