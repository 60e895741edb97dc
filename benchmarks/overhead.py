"""The cost of the hook: tv compared with plain llama-cpp-python, same model and prompt, medians of interleaved runs."""

from __future__ import annotations

import argparse

import numpy as np
from llama_cpp import Llama

from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Decoding, Patch, Settings
from tvcli.images import load_image
from tvcli.models.resolve import resolve
from tvcli.prompts.prompt import Prompt, zero_shot
from tvcli.timing import interleaved

THREADS = 2


def generation(rounds: int) -> None:
    files = resolve("picto")
    plain = Llama(str(files.text), n_ctx=4096, n_threads=THREADS, n_threads_batch=THREADS, verbose=False)
    prompt = zero_shot("Greece")
    text = str(prompt.parts[0])

    def by_llama_cpp_python() -> None:
        plain.reset()
        plain.create_completion(text, max_tokens=64, temperature=0.0, stop=None, logit_bias={})

    with LlamaEngine(files.text, settings=Settings(threads=THREADS)) as engine:

        def by_tv() -> None:
            [[answer]] = engine.answer([prompt], decoding=Decoding(64, stop_at_newline=False))
            assert len(answer.tokens) == 64

        ours, theirs = interleaved(by_tv, by_llama_cpp_python, rounds=rounds)
    print(f"64 tokens: tv {ours:.3f} s, llama-cpp-python {theirs:.3f} s, ratio {ours / theirs:.3f} (limit 1.03)")


def image_answer(rounds: int, picture: str) -> None:
    files = resolve("picto")
    with LlamaEngine(files.text, files.vision, Settings(threads=THREADS)) as engine:
        rng = np.random.default_rng(0)
        patch = Patch(10, rng.standard_normal(engine.model.n_embd).astype(np.float32) * 100)
        base = load_image(picture)
        count = iter(range(10**6))

        def fresh() -> Prompt:  # another digest each time, so that the image is encoded each time
            pixels = base.pixels.copy()
            pixels[0, 0] = np.frombuffer(next(count).to_bytes(3, "little"), np.uint8)
            return zero_shot(type(base)(pixels, "x"))

        patched, unpatched = interleaved(
            lambda: engine.answer([fresh()], [patch]), lambda: engine.answer([fresh()], [None]), rounds=rounds
        )
    ratio = patched / unpatched
    print(f"image, one token: patched {patched:.4f} s, unpatched {unpatched:.4f} s, ratio {ratio:.3f} (limit 1.05)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--image", default="tests/data/flags/fr.png")
    options = parser.parse_args()
    generation(options.rounds)
    image_answer(options.rounds * 2, options.image)


if __name__ == "__main__":
    main()
