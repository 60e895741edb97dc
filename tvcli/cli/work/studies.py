"""Options of `tv paper` and `tv report` to the study that both make their tables of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tvcli.cli.output import out
from tvcli.inputs.tasks import Task
from tvcli.models.opening import ModelRequest
from tvcli.paper.study import Study
from tvcli.timing import Spent


@contextmanager
def open_study(
    request: ModelRequest,
    tasks: tuple[Task, ...],
    imported: tuple[Task, ...] = (),
    *,
    seeds: tuple[int, ...],
    limit: int | None,
    one_layer: bool,
    llm: str | None,
    judge: str = "",
    folder: Path | None,
) -> Iterator[Study]:
    """The model is closed at the end of the block. Raises UnavailableError for images that cannot be used."""
    started = Spent.now()
    with request.open() as loaded:
        study = Study(
            engine=loaded.engine,
            request=request,
            llm=llm or loaded.llm,
            template=loaded.template,
            one_image=loaded.one_image,
            tasks=tasks,
            imported=imported,
            judge=judge,
            seeds=seeds,
            limit=limit,
            one_layer=one_layer,
            folder=folder,
            opened=Spent.now() - started,
            meter=out.meter,
        )
        study.check_images()
        yield study
