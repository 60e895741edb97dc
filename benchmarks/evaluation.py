"""The duration of an evaluation: tv compared with the paper's procedure in Hugging Face, and with the ideal.

The paper's code runs one full forward pass for every layer and query. tv decodes a query's prefix once and
all layers in one batch. The ideal is the rows and prompt tokens that must be computed, at the speed
of plain llama.cpp on this machine.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
from hf import Reference

from tvcli.engine.decoder import Decoder
from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Patch, Settings, tail
from tvcli.evaluation.answering import Evaluation
from tvcli.evaluation.prompts import few_shot_prompts
from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.evaluation.store import Store
from tvcli.evaluation.vectors import VectorCache
from tvcli.inputs.tasks import find_task
from tvcli.kinds import Method, Modality, Source
from tvcli.models.resolve import resolve
from tvcli.prompts.prompt import Prompt, sample_in_context, zero_shot
from tvcli.timing import interleaved, timed

THREADS = 2
ROUNDS = 5
TASK = find_task("country-capital")
WORDS = Transfer(Source.TEXT, Modality.TEXT)


def by_tv(engine: LlamaEngine, methods: tuple[Method, ...]) -> float:
    """Seconds for one task and seed: vector, validation over all layers, test."""
    setup = Setup((TASK,), transfers=(WORDS,), seeds=(1,), methods=methods)
    return timed(Evaluation(engine, setup, Store(), VectorCache(engine, setup)).run)


def by_hugging_face(engine: LlamaEngine, reference: Reference) -> tuple[float, float]:
    """The same with one full forward pass for every prompt, and for every layer and query: seconds with and without the
    baselines."""
    setup, row = Setup((TASK,), transfers=(WORDS,)), np.zeros(engine.model.n_embd, np.float32)

    def ids(prompt: Prompt) -> list[int]:
        return [token.id for token in tail(engine, prompt, 10_000)]

    examples = [sample.example(Modality.TEXT) for sample in TASK.validation]
    contexts = [ids(p) for p in sample_in_context(examples, shots=5, prompts=None, seed=1)]
    validation, test = ([ids(zero_shot(s.input)) for s in split] for split in (TASK.validation, TASK.test))
    total = sum(timed(partial(reference.residuals, tokens)) for tokens in contexts)
    for tokens in validation:
        total += sum(timed(partial(reference.logits, tokens, k, row)) for k in range(engine.model.n_layer))
    total += sum(timed(partial(reference.logits, tokens, 0, row)) for tokens in test)
    make_prompt = few_shot_prompts(setup, TASK, WORDS, Variant(1))
    shown = [ids(make_prompt(n, sample)) for n, sample in enumerate(TASK.test)]
    return total, sum(timed(partial(reference.logits, tokens)) for tokens in (*test, *shown))


def sweep(engine: LlamaEngine, seeds: int) -> tuple[float, float, int]:
    """Median seconds of a validation sweep and of plain batches of the same sizes, and the number of rows."""
    residuals = engine.read([zero_shot("x")])[0]
    patches = [Patch(layer, residuals[layer]) for layer in range(engine.model.n_layer)] * seeds
    prompts = [zero_shot(sample.input) for sample in TASK.validation]
    size = 256 // len(patches)
    batches = [prompts[i : i + size] for i in range(0, len(prompts), size)]
    decoder: Decoder = engine._decoder

    def plain() -> None:
        for batch in batches:
            rows = len(batch) * len(patches)
            decoder.clear(data=False)
            decoder.reserve(rows)
            decoder.decode(np.full(rows, 100), np.zeros(rows), np.arange(rows), logits=True)

    def patched() -> None:
        for batch in batches:
            engine.answer(batch, patches)

    ours, ideal = interleaved(patched, plain, rounds=ROUNDS)
    rows = len(prompts) * len(patches)
    return ours, ideal, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-reference", action="store_true", help="skip Hugging Face")
    options = parser.parse_args()
    for name in ("smollm2-135m", "gemma3-270m"):
        path = resolve(name).text
        with LlamaEngine(path, settings=Settings(threads=THREADS)) as engine:
            for seeds in (1, 3):
                ours, plain, rows = sweep(engine, seeds)
                cost = f"{1000 * ours / rows:.2f} ms per row, plain batches {1000 * plain / rows:.2f}"
                print(f"{name}: sweep, {rows} rows, {seeds} vectors: {cost}, ratio {ours / plain:.3f}", flush=True)
            whole, patch = by_tv(engine, tuple(Method)), by_tv(engine, (Method.PATCH,))
            print(f"{name}: tv, one task and seed: three methods {whole:.1f} s, patch alone {patch:.1f} s", flush=True)
            if not options.no_reference:
                reference = Reference(path)
                theirs, baselines = by_hugging_face(engine, reference)
                all_three = theirs + baselines
                print(f"{name}: Hugging Face: three methods {all_three:.1f} s, patch alone {theirs:.1f} s")
                print(f"{name}: ratio {all_three / whole:.1f} with the prompt baseline, {theirs / patch:.1f} without")


if __name__ == "__main__":
    main()
