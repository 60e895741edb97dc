"""Options that belong together, declared once and handed to commands as one value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, get_type_hints

from tvcli.cli.commands.options import Quiet, Verbose
from tvcli.cli.commands.strict import Idle, idle_with
from tvcli.cli.output import out

ANY_MODEL = [Idle("rpc", "with --gpu-layers 0", lambda values: values["gpu_layers"] == 0)]
LOUDNESS = idle_with("quiet", "verbose")


def command(
    *, quiet: bool = False, verbose: bool = False, idle: Iterable[Idle] = (), **bundles: type
) -> Callable[..., Callable[..., None]]:
    """Replace an argument of a command with options: the fields of a dataclass.

    >>> @command(model_options=ModelOptions)          # with the fields model and threads
    ... def show(vector: str, model_options: ModelOptions) -> None: ...

    The command then has a vector, --model and --threads, and gets a `ModelOptions` of the two. With `quiet` and
    `verbose` it has these options too, which decide what `out` shows. `idle` are options that do nothing beside others.
    """

    def decorate(declared: Callable[..., None]) -> Callable[..., None]:
        own = [parameter for parameter in _parameters(declared) if parameter.name not in bundles]
        parameters_of = {name: _parameters(kind) for name, kind in bundles.items()}
        verbosity = [_option("quiet", Quiet)] * quiet + [_option("verbose", Verbose)] * verbose

        @functools.wraps(declared)
        def run(**given: Any) -> None:
            out.quiet, out.verbose = (bool(given.pop(name, False)) for name in ("quiet", "verbose"))
            bundled = {
                name: bundles[name](**{p.name: given.pop(p.name) for p in parameters})
                for name, parameters in parameters_of.items()
            }
            declared(**given, **bundled)

        # Typer reads these two
        everything = [*own, *(p for parameters in parameters_of.values() for p in parameters), *verbosity]
        run.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in everything}
        shared = [*(ANY_MODEL if "rpc" in run.__annotations__ else ()), *(LOUDNESS if quiet and verbose else ())]
        run.idle = [*shared, *idle]  # type: ignore[attr-defined]  # `StrictCommand` reads it
        return run

    return decorate


def _parameters(source: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a function or dataclass, as keyword parameters with evaluated annotations."""
    hints = get_type_hints(source, include_extras=True)
    return [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(source).parameters.values()
    ]


def _option(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
