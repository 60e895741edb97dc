"""What each command does.

A module is imported when its command runs, so that ``tv --help`` and Tab do not load NumPy:

>>> from tvcli.cli import work
>>> work.show.run(...)
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what `__getattr__` gives, for the type checker
    from tvcli.cli.work import apply as apply
    from tvcli.cli.work import combine as combine
    from tvcli.cli.work import compare as compare
    from tvcli.cli.work import demo as demo
    from tvcli.cli.work import doctor as doctor
    from tvcli.cli.work import evaluate as evaluate
    from tvcli.cli.work import export as export
    from tvcli.cli.work import extract as extract
    from tvcli.cli.work import import_ as import_
    from tvcli.cli.work import lens as lens
    from tvcli.cli.work import mapping as mapping
    from tvcli.cli.work import models as models
    from tvcli.cli.work import paper as paper
    from tvcli.cli.work import paper_data as paper_data
    from tvcli.cli.work import prompt as prompt
    from tvcli.cli.work import report as report
    from tvcli.cli.work import show as show
    from tvcli.cli.work import tasks as tasks
    from tvcli.cli.work import vqa as vqa


def __getattr__(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
