"""Compare tv's patched first tokens with the paper's method in Hugging Face, sample by sample.

100 country-capital queries at three layers around the best, one full forward pass each with the hidden
state overwritten by a hook. Twice: tv on the float32 weights that Hugging Face computes with, which shows
that the method is the same; and tv on the quantized file, whose kernels also quantize activations, so that
near-ties can be decided differently. Every difference is listed with the logit of Hugging Face's top token minus tv's.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from dequantize import write_float32
from hf import Reference

from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Patch, tail
from tvcli.evaluation.setup import Setup, Variant
from tvcli.evaluation.vectors import read_vector
from tvcli.inputs.tasks import find_task
from tvcli.kinds import Modality, Source
from tvcli.method.layers import layer_accuracy
from tvcli.models.resolve import resolve
from tvcli.prompts.prompt import zero_shot
from tvcli.vector import TaskVector

TASK = find_task("country-capital")
Logits = dict[tuple[int, int], np.ndarray]


def read(path: Path) -> tuple[TaskVector, int]:
    """A task vector, and the layer with the best accuracy on validation queries."""
    with LlamaEngine(path) as engine:
        vector = read_vector(engine, Setup((TASK,)), TASK, Source.TEXT, Variant(1))
        examples = [sample.example(Modality.TEXT) for sample in TASK.validation]
        return vector, int(layer_accuracy(engine, vector, examples).argmax())


def compare(path: Path, vector: TaskVector, theirs: Logits) -> None:
    """Print every query whose first token differs, and the number of equal ones."""
    with LlamaEngine(path) as engine:
        leads = []
        for (layer, number), logits in theirs.items():
            prompt = zero_shot(TASK.test[number].input)
            ours = engine.answer([prompt], [Patch.of(vector, layer)])[0][0]
            if int(logits.argmax()) != ours.first:
                leads.append(float(logits.max() - logits[ours.first]))
                print(f"  layer {layer} {TASK.test[number].input}: lead {leads[-1]:.3f}, tv's margin {ours.margin:.3f}")
        equal = len(theirs) - len(leads)
        share = f"{equal} of {len(theirs)} first tokens equal ({equal / len(theirs):.1%})"
        print(f"{path.stem} {engine.model.quantization}: {share}, largest lead {max(leads, default=0):.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("gemma3-270m", "smollm2-135m"):
            path = resolve(name).text
            vector, best = read(path)
            reference, theirs = Reference(path), {}
            with LlamaEngine(path) as engine:
                tokens = [[t.id for t in tail(engine, zero_shot(s.input), 1000)] for s in TASK.test[: options.queries]]
            for layer in (best - 1, best, best + 1):
                for number, ids in enumerate(tokens):
                    theirs[layer, number] = reference.logits(ids, layer, vector.rows[layer])
            for file in (write_float32(path, Path(folder) / f"{name}.gguf"), path):
                compare(file, vector, theirs)


if __name__ == "__main__":
    main()
