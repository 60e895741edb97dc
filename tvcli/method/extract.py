"""Examples or an instruction to a task vector (paper, sections 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from tvcli.engine.protocol import Engine, tail
from tvcli.errors import UsageError
from tvcli.images import Image
from tvcli.kinds import Modality, Source
from tvcli.prompts.prompt import QA, Example, Prompt, Template, instruction, most_shots, sample_in_context
from tvcli.vector import Provenance, TaskVector

Progress = Callable[[Sequence[Prompt]], Iterable[Prompt]]


def mean_residuals(engine: Engine, prompts: Sequence[Prompt], progress: Progress = iter) -> np.ndarray:
    """The mean residual at the delimiter over prompts, float32 (L, D).

    Prompts are read one by one: otherwise its last bits could depend on the other prompts of a batch.
    """
    total = np.zeros((engine.model.n_layer, engine.model.n_embd))
    for prompt in progress(prompts):
        total += engine.read([prompt])[0]
    return (total / len(prompts)).astype(np.float32)


def from_examples(
    engine: Engine,
    examples: Sequence[Example],
    *,
    shots: int = 5,
    prompts: int | None = None,
    seed: int = 1,
    template: Template = QA,
    progress: Progress = iter,
) -> TaskVector:
    """The vector of a task given by examples; see `prompts.sample_in_context` for `shots` and `prompts`.

    All prompts have as many examples: fewer than `shots` where some are the same, which never stand before each other.

    Raises:
        UsageError: see `check_examples`.
    """
    check_examples(examples, shots)
    shots = min(shots, most_shots(examples))
    sampled = sample_in_context(examples, shots=shots, prompts=prompts, seed=seed, template=template)
    known = _provenance(engine, sampled)
    provenance = replace(known, source=_source(examples), template=template.name, shots=shots, seed=seed)
    return TaskVector(mean_residuals(engine, sampled, progress), provenance)


def check_examples(examples: Sequence[Example], shots: int) -> None:
    """Raises UsageError for fewer than two examples, for one that all others repeat, or for fewer than two shots."""
    if len(examples) < 2:
        raise UsageError("a task vector needs at least 2 examples: one with its answer, one to read at")
    if most_shots(examples) < 2:
        raise UsageError(
            f"the {len(examples)} examples have the same input, so that none can be shown before it;"
            " a task vector needs at least 2 different inputs"
        )
    if shots < 2:
        raise UsageError("`shots` must be at least 2: the last example is the one to read at")


def from_instruction(engine: Engine, text: str) -> TaskVector:
    """The vector of a task given by an instruction, read at its final colon."""
    prompt = instruction(text)
    provenance = replace(_provenance(engine, [prompt]), source=Source.INSTRUCTION, instruction=str(prompt.parts[0]))
    return TaskVector(mean_residuals(engine, [prompt]), provenance)


def _source(examples: Sequence[Example]) -> str:
    kinds = {Modality.IMAGE if example.is_image else Modality.TEXT for example in examples}
    return f"{'mixed' if len(kinds) > 1 else kinds.pop()} examples"


def _provenance(engine: Engine, prompts: Sequence[Prompt]) -> Provenance:
    """The provenance that all vectors have."""
    delimiter = tail(engine, prompts[0], 1)[-1]
    return Provenance(
        model=engine.model,
        delimiter_id=delimiter.id,
        delimiter=delimiter.text,
        prompts=len(prompts),
        picture=engine.picture if any(isinstance(p, Image) for prompt in prompts for p in prompt.images) else "",
        tv_version=tv_version(),
        vision=engine.identity.get("vision", "") if any(prompt.images for prompt in prompts) else "",
    )


def tv_version() -> str:
    try:
        return version("tvcli")
    except PackageNotFoundError:
        return "unknown"
