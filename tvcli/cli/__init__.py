"""The command line. Commands parse, call and print; errors are reported in one place, `main`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from tvcli.cli.commands import (
    apply,
    combine,
    compare,
    demo,
    doctor,
    evaluate,
    export,
    extract,
    import_,
    lens,
    mapping,
    models,
    paper,
    prompt,
    report,
    show,
    tasks,
)
from tvcli.cli.commands.strict import StrictCommand
from tvcli.cli.output import attach_log_handler, hold_descriptors, out
from tvcli.cli.signals import CTRL_C, exit_code, handle_sigterm, own_process
from tvcli.errors import TvError, UsageError, reason

START, MAKE, MEASURE, INSPECT, SET_UP = "Start here", "Make and use vectors", "Measure", "Inspect", "Set up"

FIRST_STEPS = """usage: tv COMMAND ...
start with: tv demo
all commands: tv --help; one command, with examples: tv COMMAND --help"""

app = typer.Typer(
    name="tv",
    help="Read a task from examples as a vector, and apply it to images and text in a GGUF model.",
    epilog="tv COMMAND --help has examples.\n\n"
    "Exit codes: 0 done, 1 failed, 2 usage, 3 model or file unavailable, 4 vector does not fit.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", cls=StrictCommand, rich_help_panel=START)(demo.demo)
app.command("extract", cls=StrictCommand, rich_help_panel=MAKE)(extract.extract)
app.command("apply", cls=StrictCommand, rich_help_panel=MAKE)(apply.apply)
app.command("prompt", cls=StrictCommand, rich_help_panel=MAKE)(prompt.prompt)
app.command("combine", cls=StrictCommand, rich_help_panel=MAKE)(combine.combine)
app.command("export", cls=StrictCommand, rich_help_panel=MAKE)(export.export)
app.command("import", cls=StrictCommand, rich_help_panel=MAKE)(import_.import_)
app.command("eval", cls=StrictCommand, rich_help_panel=MEASURE)(evaluate.evaluate)
app.command("paper", cls=StrictCommand, rich_help_panel=MEASURE)(paper.paper)
app.command("show", cls=StrictCommand, rich_help_panel=INSPECT)(show.show)
app.command("lens", cls=StrictCommand, rich_help_panel=INSPECT)(lens.lens)
app.command("compare", cls=StrictCommand, rich_help_panel=INSPECT)(compare.compare)
app.command("map", cls=StrictCommand, rich_help_panel=INSPECT)(mapping.map_)
app.command("report", cls=StrictCommand, rich_help_panel=INSPECT)(report.report)
app.command("doctor", cls=StrictCommand, rich_help_panel=SET_UP)(doctor.doctor)
app.add_typer(models.app, name="models", rich_help_panel=SET_UP)
app.add_typer(tasks.app, name="tasks", rich_help_panel=SET_UP)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        out.line(f"tv {version('tvcli')}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    if ctx.invoked_subcommand is None:
        out.note(FIRST_STEPS)
        raise typer.Exit(UsageError.exit_code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code. The only place that prints errors."""
    hold_descriptors()
    attach_log_handler()
    if argv is None:
        handle_sigterm()
        own_process()
    try:
        arguments = spread(sys.argv[1:] if argv is None else argv)
        code = app(arguments, prog_name="tv", standalone_mode=False) or 0
        return exit_code() if code == CTRL_C else code  # typer has a code of its own for an interrupt
    except TvError as error:
        return _report(str(error), error, error.exit_code)
    except OSError as error:  # not handled closer to its cause: a name too long, a missing disk
        return _report(f"{error.filename or 'a file'} cannot be used: {reason(error)}", error, 3)
    except typer.TyperException as error:
        code, message = getattr(error, "exit_code", 2), getattr(error, "format_message", error.__str__)()
        if not message:  # of a group without a command, whose help was printed
            return code
        return _report(f"{message.rstrip('.')} (see tv --help)", error, code)
    except (KeyboardInterrupt, typer.Abort):
        return exit_code()
    except SystemExit as end:
        if end.code != 1:  # from completion
            raise
        return 0  # typer exits with 1 when nothing reads the help that it prints
    except Exception as error:  # a bug in tv
        out.trace(error)
        return 1


def _report(sentence: str, error: BaseException, code: int) -> int:
    out.error(sentence)
    if os.environ.get("TV_DEBUG") == "1":
        out.trace(error)
    return code


def spread(arguments: Sequence[str], options: tuple[str, ...] = ("--image", "-i")) -> list[str]:
    """Let one ``--image`` take all the files that a shell expands after it: ``--image *.png``."""
    result: list[str] = []
    taking = ""
    for position, argument in enumerate(arguments):
        if argument == "--":
            return [*result, *arguments[position:]]
        if argument.startswith("-") and argument != "-":
            taking = argument if argument in options else ""
        elif taking and result[-1] != taking:
            result.append(taking)
        result.append(argument)
    return result
