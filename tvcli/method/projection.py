"""Single-prompt vectors in two dimensions: whether they cluster by task or by modality (paper, figure 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tvcli.engine.protocol import Engine
from tvcli.errors import UsageError
from tvcli.inputs.tasks import Task, usable_shots, warn_of_repeats
from tvcli.kinds import Modality, Split
from tvcli.prompts.prompt import Prompt, sample_in_context

Progress = Callable[[Sequence[Prompt]], Iterable[Prompt]]


@dataclass(frozen=True)
class Points:
    """Residuals of single prompts, float32 (N, D), with the task and the modality of each."""

    rows: np.ndarray
    tasks: tuple[str, ...]
    modalities: tuple[Modality, ...]


def collect(
    engine: Engine,
    tasks: Sequence[Task],
    modalities: Sequence[Modality],
    layer: int,
    *,
    shots: int = 5,
    limit: int = 30,
    seed: int = 1,
    progress: Progress = iter,
) -> tuple[Points, Points]:
    """Residuals at the delimiter, and at the context token, which ends the last example's input.

    `limit` is their number per task and modality; every prompt has `shots` examples whatever the limit.

    Raises:
        UsageError: fewer than three prompts.
    """
    prompts, names = [], []
    for task in tasks:
        warn_of_repeats(task, images=Modality.IMAGE in modalities)
        for modality in modalities:
            samples = task.samples(Split.VALIDATION, modality)[: max(limit, shots)]
            examples = [sample.example(modality) for sample in samples]
            most = usable_shots(task, examples, shots)
            sampled = sample_in_context(examples, shots=most, prompts=None, seed=seed)[:limit]
            prompts += sampled
            names += [(task.name, modality)] * len(sampled)
    if len(prompts) < 3:
        raise UsageError(f"a map needs at least 3 vectors, not {len(prompts)}")
    delimiters, contexts = [], []
    for prompt in progress(prompts):
        delimiters.append(engine.read([prompt])[0, layer])
        contexts.append(engine.read([before_question(prompt)])[0, layer])
    labels = tuple(task for task, _ in names), tuple(modality for _, modality in names)
    return Points(np.array(delimiters), *labels), Points(np.array(contexts), *labels)


def before_question(prompt: Prompt) -> Prompt:
    """The prompt up to the newline that ends the last input: its last token belongs to the context."""
    *rest, last = prompt.parts
    return Prompt((*rest, str(last).rsplit("A:", 1)[0]))


def project(rows: np.ndarray, method: str, seed: int = 1) -> np.ndarray:
    """Residuals float32 (N, D) to float64 (N, 2), by ``pca`` or ``tsne`` (scikit-learn)."""
    centered = rows.astype(np.float64) - rows.mean(axis=0)
    if method == "pca":
        left, scale, _ = np.linalg.svd(centered, full_matrices=False)
        return np.asarray(left[:, :2] * scale[:2])
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # scikit-learn depends on it

    perplexity = min(30.0, (len(rows) - 1) / 3)
    with threadpool_limits(1):  # for a few hundred points more threads are slower: 28 s instead of 3
        return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(centered))


def silhouette(rows: np.ndarray, labels: Sequence[str]) -> float:
    """Mean silhouette of a labeling, -1 to 1, by cosine distance of centered rows; 0 for a single label.

    Rousseeuw 1987: (b - a) / max(a, b), a the mean distance within a label, b to the nearest other label.
    """
    names = sorted(set(labels))
    if len(names) < 2:
        return 0.0
    centered = rows.astype(np.float64) - rows.mean(axis=0)
    centered /= np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-12)
    distance = 1 - centered @ centered.T
    np.fill_diagonal(distance, 0)  # also for a row equal to the mean, which has no direction
    own = np.array(labels)
    means = np.array([distance[:, own == name].sum(1) for name in names]).T  # (N, names)
    sizes = np.array([(own == name).sum() for name in names])
    index = np.array([names.index(label) for label in labels])
    rest = np.arange(len(labels))
    within = means[rest, index] / np.maximum(sizes[index] - 1, 1)
    others = means / sizes
    others[rest, index] = np.inf
    nearest = others.min(axis=1)
    values = (nearest - within) / np.maximum(np.maximum(nearest, within), 1e-12)
    return float(np.where(sizes[index] > 1, values, 0.0).mean())
