"""``tv tasks import``: questions about images to a task folder."""

from __future__ import annotations

from pathlib import Path

from tvcli.cli.commands.vqa import ImportOptions
from tvcli.cli.output import out
from tvcli.cli.work.inputs import check_folder, given_text
from tvcli.errors import UsageError
from tvcli.inputs.vqa import Choice, Origin, read_aokvqa, read_captions, read_vqa, selection, write_task

SHOWN = 5  # names of missing images


def run(data_set: str, images: Path, options: ImportOptions, annotations: Path, questions: Path | None = None) -> None:
    origin = Origin(data_set)
    if not (options.select or options.ask or options.override):
        raise UsageError("choose one task's questions with --select, or give --ask or --override for different ones")
    if (options.second_questions is None) != (options.second_annotations is None):
        raise UsageError("--second-questions and --second-annotations must be given together")
    check_folder("--output", options.output)
    wanted = selection(options.select or ())
    everything = (
        read_aokvqa(annotations, out.meter) if questions is None else read_vqa(questions, annotations, out.meter)
    )
    instruction = "" if options.instruction is None else given_text(options.instruction, "--instruction")
    by = instruction if options.override else ""
    second = everything if options.override and not by else None
    if options.second_questions is not None and options.second_annotations is not None:
        second = read_vqa(options.second_questions, options.second_annotations, out.meter)
    choice = Choice(
        validation=_count(options.validation, 0 if options.override else 30),
        test=_count(options.test, 1000 if options.override else 100),
        seed=options.seed,
        ask=options.ask,
        second=second,
        captions={} if options.captions is None else read_captions(options.captions),
        instruction=instruction,
        by=by,
    )
    asked = [one for one in everything if wanted(one.question)]
    made = write_task(asked, images, options.output, choice, origin=origin.label)
    if made.missing:
        more = ", ..." if len(made.missing) > SHOWN else ""
        named = ", ".join(made.missing[:SHOWN]) + more
        out.warn(f"{len(made.missing)} images are not in {images}, and their questions were left out: {named}")
    out.note(
        f"wrote {made.validation} validation and {made.test} test samples of {made.matching} questions of"
        f" {origin.label} to {options.output}; instruction: {made.instruction}; use it as --task {options.output}"
    )


def _count(given: int | None, default: int) -> int:
    return default if given is None else given
