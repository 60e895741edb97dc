"""Python, and `tv`, in a process of its own with more in its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from conftest import ROOT


def run(arguments: Sequence[object], **environment: object) -> subprocess.CompletedProcess[str]:
    """A Python process with these arguments, and with more in its environment."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path, **{name: str(value) for name, value in environment.items()}}
    env.pop("PYTHONFAULTHANDLER", None)
    return subprocess.run(
        [sys.executable, *map(str, arguments)], env=env, capture_output=True, text=True, timeout=120, check=False
    )


def tv(*arguments: object, **environment: object) -> subprocess.CompletedProcess[str]:
    return run(["-m", "tvcli", *arguments], **environment)
