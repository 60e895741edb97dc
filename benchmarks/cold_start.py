"""Seconds from process start to one answer about an image: tv, other installations of tv, and llama.cpp alone.

    python benchmarks/cold_start.py [--tv PATH ...] [--rounds 11]

Starts new processes in turns; prints medians and their ratio to `bare.py`, which loads the same two files.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from tvcli.models.resolve import resolve
from tvcli.timing import timed

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "tests" / "data" / "flags" / "fr.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tv", action="append", default=[], help="the tv of another installation")
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    files = resolve("picto")
    here = str(Path(sys.executable).with_name("tv"))
    with tempfile.TemporaryDirectory() as folder:
        vector = Path(folder) / "capital.npy"
        subprocess.run([here, "extract", "-q", "-e", ROOT / "tests/data/capitals.txt", "-o", vector], check=True)
        commands = {
            "bare": [sys.executable, Path(__file__).with_name("bare.py"), files.text, files.vision, PICTURE],
            **{tv: [tv, "apply", "-q", vector, "-i", PICTURE, "-n", "1"] for tv in (here, *options.tv)},
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.rounds + 1):
            for name, command in commands.items():
                started = partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
                seconds[name].append(timed(started))
    bare = statistics.median(seconds["bare"][1:])
    for name, times in seconds.items():
        median = statistics.median(times[1:])  # the first fills the disk cache
        print(f"{name}: {median:.3f} s ({min(times[1:]):.3f} to {max(times[1:]):.3f}), {median / bare:.2f} × bare")


if __name__ == "__main__":
    main()
