"""Sample by sample: tv's patched first tokens against the paper's method in plain Hugging Face passes.

100 country-capital queries at three layers around the best, one full forward pass each with the hidden
state overwritten by a hook, on the same weights dequantized. Every difference is listed with the lead of
Hugging Face's top token over tv's choice.
"""

from __future__ import annotations

import argparse

from hf import both

from tvcli.engine.protocol import Patch
from tvcli.experiments.evaluate import read_vector
from tvcli.experiments.layers import layer_accuracy
from tvcli.experiments.setup import Setup
from tvcli.prompts import query
from tvcli.tasks import find_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args()
    task = find_task("country-capital")
    for name in ("gemma3-270m", "smollm2-135m"):
        engine, reference = both(name)
        with engine:
            vector = read_vector(engine, Setup((task,)), task, "text", 1)
            examples = [sample.example("text") for sample in task.validation]
            best = int(layer_accuracy(engine, vector, examples).argmax())
            total = equal = 0
            for layer in (best - 1, best, best + 1):
                for sample in task.test[: options.queries]:
                    prompt = query(sample.input)
                    ours = engine.answer([prompt], [Patch.of(vector, layer)])[0][0]
                    tokens = [token.id for token in engine.tail(prompt, 1000)]
                    theirs = reference.logits(tokens, layer, vector.rows[layer])
                    total, equal = total + 1, equal + (int(theirs.argmax()) == ours.first)
                    if int(theirs.argmax()) != ours.first:
                        lead = float(theirs.max() - theirs[ours.first])
                        print(f"  layer {layer} {sample.input}: lead {lead:.3f} (tv's own margin {ours.margin:.3f})")
            print(
                f"{name}: layers {best - 1} to {best + 1}, {equal} of {total} first tokens equal ({equal / total:.1%})"
            )


if __name__ == "__main__":
    main()
