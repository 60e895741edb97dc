"""How exactly tv patches each architecture, on small random models in true format.

    python benchmarks/architectures.py

For each family, over its prompts (text, one image, two, tiles) and all layers: the largest difference between the
patched logits and llama.cpp's own adapter, and between a sweep and single runs, both against the largest change that
the patch makes; and whether a query patched with its own residual keeps every bit.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from random_models import FAMILIES
from test_random_models import Opened, prompts_of

from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Patch, Settings


def main() -> None:
    print("| family | prompts | layers | patch against adapter | sweep against single runs | self-patch |")
    print("|---|---|---|---|---|---|")
    for name, make in FAMILIES.items():
        family = make()
        with tempfile.TemporaryDirectory() as folder:
            files = family.write(Path(folder))
            with LlamaEngine(files.text, files.vision, Settings(threads=1)) as engine:
                print(row(Opened(name, engine, prompts_of(family))), flush=True)


def row(opened: Opened) -> str:
    adapter, sweep, same = 0.0, 0.0, True
    for prompt in opened.prompts.values():
        patches = opened.patches(prompt)
        plain, *swept = opened.engine.logits([prompt], [None, *patches])[0]
        for patch, one in zip(patches, swept, strict=True):
            single = opened.engine.logits([prompt], [patch])[0, 0]
            change = np.abs(single - plain).max()
            sweep = max(sweep, np.abs(one - single).max() / change)
            if patch.layer:
                other = opened.engine.logits_by_adapter(prompt, patch)
                adapter = max(adapter, np.abs(other - single).max() / change)
        [own] = opened.engine.read([prompt])
        alone = opened.engine.logits([prompt])
        same &= all(np.array_equal(opened.engine.logits([prompt], [Patch(n, r)]), alone) for n, r in enumerate(own))
    return (
        f"| {opened.name} | {', '.join(opened.prompts)} | {opened.engine.model.n_layer} | {adapter:.1e} | {sweep:.1e} |"
        f" {'bit-equal' if same else 'DIFFERS'} |"
    )


if __name__ == "__main__":
    main()
