"""``tv tasks import``: questions of VQAv2, OK-VQA and A-OKVQA."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tvcli.cli import work
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.strict import Idle, StrictCommand, idle_with, idle_without

app = typer.Typer(help="Make a task of questions about images (paper, tables 4 and 5).", no_args_is_help=True)

Questions = Annotated[Path, typer.Argument(help="The file of questions.")]
Annotations = Annotated[Path, typer.Argument(help="The file of annotations, with the answers.")]
Images = Annotated[Path, typer.Argument(help="COCO's images: a folder, or one with val2014 or val2017 in it.")]


@dataclass(frozen=True)
class ImportOptions:
    """Which questions, and how they are asked."""

    output: Annotated[Path, typer.Option("--output", "-o", help="The task folder to write.")]
    select: Annotated[
        list[str] | None,
        typer.Option(help="A question's text, or a regular expression in slashes: /food/; may be repeated."),
    ] = None
    ask: Annotated[bool, typer.Option("--ask", help="Put each question behind its image; else all are one task.")] = (
        False
    )
    override: Annotated[
        bool, typer.Option("--override", help="The same, and override it by another question (paper, table 5).")
    ] = False
    second_questions: Annotated[Path | None, typer.Option(help="Take the other questions from this file.")] = None
    second_annotations: Annotated[Path | None, typer.Option(help="The answers to the other questions.")] = None
    captions: Annotated[
        Path | None, typer.Option(help="Captions by image_id, JSON or JSON Lines: the examples as text.")
    ] = None
    instruction: Annotated[
        str | None,
        typer.Option(
            help="The task's instruction, by default the most frequent question; with --override, what overrides "
            "every question, as a poem would (only a --judge can tell)."
        ),
    ] = None
    validation: Annotated[
        int | None, typer.Option(min=0, max=100_000, help="Validation samples; by default 30, 0 with --override.")
    ] = None
    test: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Test samples; by default 100, 1000 with --override.")
    ] = None
    seed: Annotated[int, typer.Option(help="Seed for choosing samples.")] = 1


IDLE = [
    *idle_without(["override"], "second_questions", "second_annotations"),
    *idle_with("override", "ask"),
    *idle_with("instruction", "second_questions", "second_annotations"),
    Idle("instruction", "with --ask", lambda values: bool(values["ask"])),
]
importing = command(import_options=ImportOptions, quiet=True, idle=IDLE)


@app.command(cls=StrictCommand)
@importing
def vqav2(questions: Questions, annotations: Annotations, images: Images, import_options: ImportOptions) -> None:
    """Import questions of VQAv2; no image is in two samples.

    The files are v2_OpenEnded_mscoco_val2014_questions.json and
    v2_mscoco_val2014_annotations.json of visualqa.org. Accepted are the
    majority's answer and those of three or more of the ten annotators, which
    count fully in VQA's own accuracy.

    Examples:
        tv tasks import vqav2 q.json a.json coco --select "/shirt/" -o shirt-color
        tv tasks import vqav2 q.json a.json coco --override -o conflict-vqav2
    """
    work.vqa.run("vqav2", images, import_options, annotations, questions)


@app.command(cls=StrictCommand)
@importing
def okvqa(questions: Questions, annotations: Annotations, images: Images, import_options: ImportOptions) -> None:
    """Import questions of OK-VQA.

    Most of its images have one question, so take those that --override needs
    from VQAv2, with --second-questions and --second-annotations.

    Examples:
        tv tasks import okvqa q.json a.json coco --ask -o okvqa
    """
    work.vqa.run("okvqa", images, import_options, annotations, questions)


@app.command(cls=StrictCommand)
@importing
def aokvqa(annotations: Annotations, images: Images, import_options: ImportOptions) -> None:
    """Import questions of A-OKVQA; the right choice is accepted too.

    With --override, take the other questions from VQAv2, as for okvqa.

    Examples:
        tv tasks import aokvqa aokvqa_v1p0_val.json coco --ask -o aokvqa
    """
    work.vqa.run("aokvqa", images, import_options, annotations)
