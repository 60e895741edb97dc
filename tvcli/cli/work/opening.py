"""Model options to a model request."""

from __future__ import annotations

from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.output import out
from tvcli.engine.protocol import Settings
from tvcli.engine.rpc import parse_endpoints
from tvcli.models.opening import ModelRequest


def model_request(model_options: ModelOptions) -> ModelRequest:
    """Raises UsageError for an invalid address."""
    servers = parse_endpoints(model_options.rpc or [])
    settings = Settings(model_options.context, model_options.threads, model_options.gpu_layers, servers, out.loading)
    return ModelRequest(model_options.model, model_options.mmproj, settings, out.meter)
