"""Model options to a model request."""

from __future__ import annotations

import math
import re
from pathlib import Path

from tvcli.cli.commands.options import ImageModelOptions, ModelOptions
from tvcli.cli.output import out
from tvcli.engine.protocol import Lora, Settings
from tvcli.engine.rpc import parse_endpoints
from tvcli.errors import UsageError
from tvcli.kinds import Picture
from tvcli.models.opening import ModelRequest

SCALE = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE]-?[0-9]+)?")


def model_request(model_options: ModelOptions, picture: Picture = Picture.MODEL) -> ModelRequest:
    """`picture` is taken where the options do not choose one.

    Raises UsageError for an invalid address, or a scale that is too large.
    """
    if isinstance(model_options, ImageModelOptions):
        picture = model_options.picture or picture
    servers = parse_endpoints(model_options.rpc or [])
    settings = Settings(
        model_options.context, model_options.threads, model_options.gpu_layers, servers, picture, out.loading
    )
    loras = tuple(map(parse_lora, model_options.lora or []))
    return ModelRequest(model_options.model, model_options.mmproj, settings, out.meter, loras)


def parse_lora(text: str) -> Lora:
    """``FILE[:SCALE]``, or a file of just that name. Raises UsageError for a scale that is too large."""
    file, _, scale = text.rpartition(":")
    if not file or Path(text).is_file() or not SCALE.fullmatch(scale):
        return Lora(Path(text))
    if not math.isfinite(float(scale)):
        raise UsageError(f"the scale of --lora {text} is too large")
    return Lora(Path(file), float(scale))
