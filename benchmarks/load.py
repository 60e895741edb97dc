"""Do memory and speed stay constant in a long run?

    python benchmarks/load.py --queries 10000 --model smollm2-135m
    python benchmarks/load.py --images 5000 --broken 50
    python benchmarks/load.py --applies 1000

Sends `tv apply` queries on stdin, or names of images, some of them broken, and measures the process: memory after the
first 100 answers and at the end, answers per second in the first and the last tenth, and messages about broken
images. `--applies` calls the Python interface instead, alternating between a word and an image, every layer in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

import tvcli


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="picto")
    parser.add_argument("--queries", type=int, default=0)
    parser.add_argument("--images", type=int, default=0)
    parser.add_argument("--broken", type=int, default=50)
    parser.add_argument("--applies", type=int, default=0)
    args = parser.parse_args()
    if args.applies:
        applies(args.model, args.applies)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vector = folder / "vector.npy"
        extract = ["extract", "-m", args.model, "--instruction", "The capital city of the country:", "-o", vector]
        subprocess.run([sys.executable, "-m", "tvcli", *map(str, extract)], check=True)
        lines = (
            pictures(folder, args.images, args.broken) if args.images else [f"word {n}" for n in range(args.queries)]
        )
        source = "--images-from" if args.images else "--queries"
        watch(["apply", str(vector), "-m", args.model, "-l", "9", "-n", "1", "--json", source, "-"], lines)


def applies(model: str, count: int) -> None:
    """Apply vectors in this process, one after another."""
    with tvcli.open_model(model) as loaded:
        vector = tvcli.from_instruction(loaded.engine, "The capital city of the country:")
        rng = np.random.default_rng(0)
        times, sizes = [], []
        for n in range(count):
            picture = tvcli.Image(rng.integers(0, 256, (96, 96, 3), np.uint8), f"noise {n}")
            patch = tvcli.Patch.of(vector, n % vector.n_layer)
            loaded.engine.answer([tvcli.zero_shot(picture if n % 2 else f"word {n}")], [patch])
            loaded.engine.forget(picture)
            times.append(time.monotonic())
            sizes.append(memory(os.getpid()))
    report(times, sizes)


def pictures(folder: Path, count: int, broken: int) -> list[str]:
    """Files with noise; at intervals one that is not an image."""
    rng = np.random.default_rng(0)
    names = []
    for n in range(count):
        path = folder / f"{n}.png"
        if n % (count // broken) == 1:
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + rng.bytes(50))
        else:
            Image.fromarray(rng.integers(0, 256, (96, 96, 3), np.uint8)).save(path)
        names.append(str(path))
    return names


def watch(arguments: list[str], lines: list[str]) -> None:
    command = [sys.executable, "-m", "tvcli", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        stderr = process.stderr
        threading.Thread(target=feed, args=(process.stdin, lines), daemon=True).start()
        complaints: list[str] = []
        threading.Thread(target=lambda: complaints.extend(stderr), daemon=True).start()
        times, sizes = [], []
        for line in process.stdout:
            json.loads(line)
            times.append(time.monotonic())
            sizes.append(memory(process.pid))
    print(f"{len(times)} answers of {len(lines)}, exit code {process.returncode}")
    report(times, sizes)
    print(f"lines on stderr {len(complaints)}; the last: {complaints[-1].strip() if complaints else ''}")


def report(times: list[float], sizes: list[int]) -> None:
    tenth = max(1, len(times) // 10)
    first, last = (tenth / (part[-1] - part[0]) for part in (times[:tenth], times[-tenth:]))
    print(f"memory after 100 answers {sizes[100] >> 20} MB, at the end {sizes[-1] >> 20} MB")
    print(f"growth {100 * (sizes[-1] / sizes[100] - 1):.2f} %")
    print(f"answers per second: first tenth {first:.1f}, last tenth {last:.1f}")


def feed(pipe: IO[str], lines: list[str]) -> None:
    for line in lines:
        pipe.write(line + "\n")
    pipe.close()


def memory(pid: int) -> int:
    """Resident memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    main()
