"""Options to the request for a model."""

from __future__ import annotations

from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.output import out
from tvcli.engine.protocol import Settings
from tvcli.engine.rpc import parse_endpoints
from tvcli.models.opening import ModelRequest


def model_request(chosen: ModelOptions) -> ModelRequest:
    """Raises UsageError for an address that is none."""
    servers = parse_endpoints(chosen.rpc or [])
    settings = Settings(chosen.context, chosen.threads, chosen.gpu_layers, servers, out.loading)
    return ModelRequest(chosen.model, chosen.mmproj, settings, out.meter)
