"""Makes the README's two images from what the demo model says: a recording of a terminal, and a plot.

    pip install -e '.[demo,plots]'
    python docs/recording.py

Both are SVG, in the colors that the reader's browser prefers, light or dark. The recording is all that a
terminal shows at the end. It needs a system with pseudo-terminals, and writes capital.npy in the repository.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
COMMANDS = (
    "tv demo",
    "tv extract --examples tests/data/capitals.txt -o capital.npy",
    "tv apply capital.npy --image tests/data/flags/jp.png --text Italy -n 2",
)
COLUMNS, LINES = 100, 50  # of the terminal
FONT, ADVANCE, LINE = 14, 8.43, 19  # pixels: size, width of a character, height of a line
MARGIN = 16  # pixels
DRAWN = re.compile(r"\r\x1b\[K[^\r\n]*(?=\r\x1b\[K)|\r\x1b\[K|\x1b\[[\d;]*m|\r")  # progress lines, then styles
COUNTRY = "France"
COLORS = """svg { color: #1a1a1a; --paper: #fff; }
@media (prefers-color-scheme: dark) { svg { color: #e6e6e6; --paper: #16181c; } }
"""
# the plot's black and white, as matplotlib spells them
PLOTTED = """svg { fill: currentColor; }
[style*="stroke: #000000"] { stroke: currentColor !important; }
[style*="fill: #000000"] { fill: currentColor !important; }
[style*="fill: #ffffff"] { fill: var(--paper) !important; }
"""
TERMINAL = f"""text {{ font: {FONT}px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre;
  fill: currentColor; }}
.typed {{ font-weight: bold; }}
"""


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "demo.svg").write_text(recording([(command, printed(command)) for command in COMMANDS]), "utf-8")
    draw(IMAGES / "flag.svg", *measured())


# -- the recording ----------------------------------------------------------------------------------------


def printed(command: str) -> str:
    """What a terminal shows at the end of a command, without progress lines and styles."""
    ours, its = pty.openpty()
    words = [sys.executable, "-m", "tvcli", *command.split()[1:]]
    size = {"COLUMNS": str(COLUMNS), "LINES": str(LINES)}
    with subprocess.Popen(words, cwd=ROOT, env={**os.environ, **size}, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # Linux says so at the end
            pass
    os.close(ours)
    if process.returncode:
        raise SystemExit(f"{command}: {shown.decode()}")
    return DRAWN.sub("", shown.decode())


def recording(session: Sequence[tuple[str, str]]) -> str:
    """An SVG of a terminal with commands and what they printed."""
    lines: list[tuple[str, str]] = []
    for command, output in session:
        lines += [("", "")] * bool(lines)
        lines.append((f"$ {command}", "typed"))
        lines += [(row, "") for line in output.splitlines() for row in wrapped(line)]
    width, height = round(COLUMNS * ADVANCE) + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    texts = [
        f'<text x="{MARGIN}" y="{MARGIN + (number + 0.75) * LINE:g}" class="{kind}" '
        f'textLength="{len(line) * ADVANCE:g}" lengthAdjust="spacingAndGlyphs">{escape(line)}</text>'
        for number, (line, kind) in enumerate(lines)
        if line
    ]
    return svg(width, height, COLORS + TERMINAL, texts)


def wrapped(line: str) -> list[str]:
    """The rows of the terminal that a line takes."""
    line = line.expandtabs()
    return [line[start : start + COLUMNS] for start in range(0, len(line), COLUMNS)] or [""]


def svg(width: int, height: int, style: str, content: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    paper = '<rect width="100%" height="100%" rx="6" style="fill: var(--paper)"/>'
    return "\n".join([head, f"<style>{style}</style>", paper, *content, "</svg>", ""])


# -- the plot -----------------------------------------------------------------------------------------------


def measured() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `tv demo` prints of `COUNTRY`; and the probability of the right answer's first token, the mean over the
    demo's flags: by method, float64 (1,) each, and "patch", float64 (L,)."""
    from tvcli import open_model
    from tvcli.cli.work.demo import QUERIES, SEED, SHOTS, TASK
    from tvcli.engine.protocol import Patch
    from tvcli.inputs.tasks import find_task
    from tvcli.kinds import Method, Modality
    from tvcli.method.extract import from_examples
    from tvcli.prompts.prompt import few_shot, zero_shot

    said = subprocess.run(
        [sys.executable, "-m", "tvcli", "demo", "-q", "--json"], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    [record] = (one for line in said.splitlines() if (one := json.loads(line))["input"] == COUNTRY)
    task, found = find_task(TASK), []
    with open_model() as model:
        engine = model.engine
        examples = [sample.example(Modality.TEXT) for sample in task.validation]
        vector = from_examples(engine, examples, shots=SHOTS, seed=SEED)
        patches = [None, *(Patch.of(vector, layer) for layer in range(vector.n_layer))]
        for sample in (sample for sample in task.test if sample.input in QUERIES):
            query = sample.load(Modality.IMAGE)
            shown = few_shot(query, examples, shots=SHOTS, seed=SEED)
            logits = [*engine.logits([zero_shot(query)], patches)[0], engine.logits([shown])[0, 0]]
            right = {engine.tokens(space + label)[0].id for label in sample.outputs for space in ("", " ")}
            found.append([softmax(one)[sorted(right)].sum() for one in logits])
    alone, *patched, prompted = np.mean(found, axis=0)
    by_method = (np.array([alone]), np.array([prompted]), np.array(patched))
    return record, dict(zip(map(str, Method), by_method, strict=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return np.asarray(powers / powers.sum())


def draw(path: Path, record: dict[str, Any], probabilities: dict[str, np.ndarray]) -> None:
    """The flag with the three answers, beside the curve."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "tv"  # the same plot gives the same file
    import matplotlib.pyplot as plt

    from tvcli import load_image
    from tvcli.cli.work.demo import QUERIES
    from tvcli.plots import COLORS as HUES
    from tvcli.plots import STYLES

    looks = {
        method: {"color": color, "linestyle": line}
        for method, color, line in zip(probabilities, HUES[1:4], (STYLES[3], STYLES[1], STYLES[0]), strict=True)
    }
    words = {"no context": "alone", "prompt": "after five examples in words", "patch": "patched, without examples"}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.6), layout="constrained", width_ratios=(1, 1.5))
    left.set_axis_off()
    left.set(xlim=(0, 1), ylim=(0, 1))
    flag = left.inset_axes((0, 0.56, 0.5, 0.44))
    flag.imshow(load_image(ROOT / "tasks" / "images" / "flags" / "fr.png").pixels)
    flag.set_xticks([])
    flag.set_yticks([])
    flag.set_anchor("W")
    for number, (method, answer) in enumerate(record["answers"].items()):
        said = answer if answer in record["labels"] else f"{answer} …"  # cut after a few tokens
        height = 0.44 - 0.18 * number
        left.text(0, height, words[method], fontsize=10)
        left.text(0, height - 0.075, f"“{said}”", fontsize=13, weight="bold", color=looks[method]["color"])
    for method, values in probabilities.items():
        if len(values) > 1:
            right.plot(range(len(values)), values, marker="o", markersize=4, label=words[method], **looks[method])
        else:
            right.axhline(values[0], label=words[method], **looks[method])
    right.set_xlabel("layer that is overwritten")
    right.set_ylabel("probability of the right capital")
    right.set_title(f"mean over the {len(QUERIES)} flags of tv demo; its layer is {record['layer']}", fontsize=10)
    right.set_ylim(0, None)
    right.xaxis.get_major_locator().set_params(integer=True)
    right.grid(alpha=0.3)
    right.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, loc="upper left")
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)
    path.write_text(colored(path.read_text("utf-8")), "utf-8")


def colored(plot: str) -> str:
    """matplotlib's SVG, with the reader's colors for its black and white."""
    start = plot.index(">", plot.index("<svg")) + 1
    lines = (plot[:start] + f"\n<style>{COLORS}{PLOTTED}</style>" + plot[start:]).splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    main()
