"""Compare the exit codes, standard output and standard error of fifty commands between versions of tv.

    python benchmarks/golden.py record before.json [--tv /path/to/tv]
    python benchmarks/golden.py compare before.json after.json

Records the output of a `tv` in an empty folder and an empty home, with the demo model and the fake one; compares two
recordings line by line. Text that differs from run to run (times, the folder, a version) is replaced first.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DATA = Path(__file__).parent.parent / "tests" / "data"
COMMANDS = """
tv --help
tv apply --help
tv extract --examples capitals.txt -o capital.npy
tv extract --examples capitals.txt --select-layer --seed 2 -o selected.npy
tv extract --instruction 'The capital city of the country:' -o instruction.npy
tv extract --examples flags/flags.txt -o pictures.npy
tv extract --examples capitals.txt --instruction 'The capital:' -o both.npy
tv extract --examples missing.txt -o x.npy
tv extract --examples capitals.txt --shots 1 -o x.npy
tv show capital.npy
tv show capital.npy --json
tv show selected.npy --decode
tv apply capital.npy --image flags/fr.png -n 1
tv apply capital.npy --image flags/*.png
tv apply capital.npy --text Japan --text Egypt -n 2 -v
tv apply capital.npy --image flags/jp.png --layer all -n 2
tv apply pictures.npy --text Norway --json
tv apply capital.npy --image missing.png --image flags/fr.png
tv apply capital.npy --text Norway --layer 99
tv apply capital.npy
tv apply capital.npy --text x --model smollm2-135m
cat capitals.txt | cut -f1 | tv apply -q capital.npy --queries -
find flags -name '*.png' -print0 | sort -z | tv apply -q capital.npy --images-from - -0 --json
tv extract -q --examples capitals.txt -o - | tv apply -q - --image flags/jp.png
tv prompt --image flags/jp.png
tv prompt --image flags/jp.png --examples capitals.txt --shots 3
tv prompt --system 'Answer in one word.' --text Greece
tv combine capital.npy instruction.npy -o ensemble.npy
tv combine capital.npy instruction.npy -w 1,-1 -o difference.npy
tv compare capital.npy instruction.npy
tv compare capital.npy instruction.npy ensemble.npy --layer 3 --json
tv export difference.npy --control-vector difference.gguf
tv import difference.gguf -o back.npy
tv lens --text Greece --top 3
tv lens --vector capital.npy --json
tv map --task country-capital --task food-color --limit 6 --source text --method pca --json
tv eval --task country-capital --limit 6 --seeds 1 --json
tv eval --task country-capital --task food-color --limit 6 --seeds 1,2 --query text --csv
tv eval --task country-capital --limit 3 --query text --source instruction --samples a.jsonl
tv eval --task country-capital --limit 3 --query text --source instruction --samples a.jsonl --resume
tv eval --model fake --limit 6 --seeds 1 --pairs all
tv paper
tv paper table2 figure8 --model fake --limit 6 --seeds 1
tv paper all --model fake --llm fake --limit 6 --seeds 1 --task country-capital --task food-color --json
tv models list --json
tv models info llava-1.5-7b
tv models path nothing
tv tasks list
tv tasks show country-capital
tv tasks check flags
tv doctor --model fake
""".strip().splitlines()
CHANGING = [  # text that differs from run to run
    (r"/\S*/(?=tasks/|models/picto)", "ROOT/"),
    (r"\d+\.\d+ s\b|\d+(\.\d+)? seconds", "TIME"),
    (r"tokens/s: .*", "SPEED"),
    (r"memory: .*", "MEMORY"),
    (r'("seconds"|"MB"): "[^"]*"', r"\1: NUMBER"),
    (r'"ratio", "tokens": "[^"]*"', "RATIO"),
]


def record(tv: str) -> dict[str, dict[str, object]]:
    """Exit code, standard output and standard error of each command, by command line."""
    with tempfile.TemporaryDirectory() as folder:
        work, home = Path(folder) / "work", Path(folder) / "home"
        shutil.copytree(DATA, work)
        home.mkdir()
        keep = {key: value for key, value in os.environ.items() if not key.startswith(("TV_", "HF_", "XDG_"))}
        environment = {**keep, "HOME": str(home), "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}
        environment["PATH"] = f"{Path(tv).parent}:{environment['PATH']}"
        said = {}
        for number, command in enumerate(COMMANDS, 1):
            print(f"{number}/{len(COMMANDS)} {command}", file=sys.stderr)
            ran = subprocess.run(
                ["bash", "-c", command], cwd=work, env=environment, capture_output=True, text=True, errors="replace"
            )
            said[command] = {
                "exit": ran.returncode,
                "stdout": _steady(ran.stdout, folder),
                "stderr": _steady(ran.stderr, folder),
            }
        return said


def _steady(text: str, folder: str) -> str:
    text = text.replace(folder, "FOLDER")
    for pattern, name in CHANGING:
        text = re.sub(pattern, name, text)
    return text


def compare(before: Path, after: Path) -> int:
    """Print the differences; returns the number of commands that differ."""
    old, new = (json.loads(path.read_text("utf-8")) for path in (before, after))
    different = 0
    for command in old | new:
        one, other = (_lines(said.get(command, {})) for said in (old, new))
        if one != other:
            different += 1
            print(f"$ {command}")
            print("\n".join(line for line in difflib.unified_diff(one, other, "before", "after", lineterm="", n=0)))
    print(f"{len(old | new) - different} of {len(old | new)} commands have the same output")
    return different


def _lines(said: dict[str, object]) -> list[str]:
    return [f"{stream}: {line}" for stream, text in said.items() for line in str(text).splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("file", type=Path)
    recording.add_argument("--tv", default=str(Path(sys.executable).parent / "tv"))
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.what == "record":
        given.file.write_text(json.dumps(record(given.tv), indent=1, ensure_ascii=False), encoding="utf-8")
    else:
        sys.exit(min(compare(given.before, given.after), 1))


if __name__ == "__main__":
    main()
