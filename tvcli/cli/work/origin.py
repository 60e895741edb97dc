"""Where a vector comes from, and warnings if it may mean something else here."""

from __future__ import annotations

from collections.abc import Sequence

from tvcli.cli.output import out
from tvcli.engine.protocol import Engine, tail
from tvcli.kinds import Picture
from tvcli.prompts.prompt import QA, zero_shot
from tvcli.vector import ModelInfo, TaskVector, told_apart


def check_origin(engine: Engine, vector: TaskVector) -> None:
    """Print where the vector came from, and warn if it was read with another model, in another template or at another
    token than the one that is patched.
    """
    origin, delimiter = vector.provenance, tail(engine, zero_shot("x"), 1)[-1]
    if origin.model is not None:
        out.detail(f"vector: {origin.source}, {origin.prompts} prompts, read with {origin.model}")
    warn_of_other_models(engine.model, vector)
    for template in dict.fromkeys(leaf.template for leaf in origin.leaves()):
        if template not in {"", QA.name}:
            out.warn(f"the vector was read in the template {template!r}, the query has the template {QA.name!r}")
    for read_at in dict.fromkeys(leaf.delimiter for leaf in origin.leaves()):
        if read_at not in {"", delimiter.text}:
            out.warn(f"the vector was read at the token {read_at!r}, the query ends in {delimiter.text!r}")


def warn_of_other_models(model: ModelInfo, vector: TaskVector) -> None:
    """Warn if the vector was read with another model than `model`."""
    for found in dict.fromkeys(leaf.model for leaf in vector.provenance.leaves()):
        if found is not None and not found.same_as(model):
            there, here = told_apart(found, model)
            out.warn(f"the vector was read with {there} and is used with {here}")


def warn_of_other_pixels(picture: Picture, vector: TaskVector) -> None:
    """Warn if the vector was read from other pixels of its images than `picture`."""
    for seen in dict.fromkeys(leaf.picture for leaf in vector.provenance.leaves()):
        if seen in set(Picture) - {picture}:
            there, here = Picture(seen).words, picture.words
            out.warn(f"the vector was read from images {there}, those of the queries are {here}; see --picture")


def warn_of_zeros(vector: TaskVector, layers: Sequence[int]) -> None:
    """Warn of rows of zeros among the patched layers; imported control vectors have some."""
    zero = [str(layer) for layer in layers if not vector.rows[layer].any()]
    if zero:
        many = "s" if len(zero) > 1 else ""
        out.warn(f"the vector is zero at layer{many} {', '.join(zero)}; a patch there erases the residual")
