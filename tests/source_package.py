"""The sources of the pinned llama.cpp, out of the package that PyPI has of llama-cpp-python; pip fetches it."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tvcli.engine.native.pinned import PINNED

SUFFIXES = (".h", ".c", ".cpp", ".jinja")
FOLDERS = ("include", "src", "ggml", "tools/mtmd", "common", "models/templates")


class NoSourcesError(Exception):
    """pip could not fetch them."""


@functools.cache
def sources() -> Mapping[str, str]:
    """Texts by path in llama.cpp; from the archive that TV_LLAMA_SOURCE names, if it does. Raises NoSourcesError."""
    named = os.environ.get("TV_LLAMA_SOURCE")
    if named:
        return _texts(Path(named))
    with tempfile.TemporaryDirectory() as folder:
        wanted = ["--no-deps", "--no-binary", ":all:", "-d", folder, f"{PINNED.package}=={PINNED.package_version}"]
        ran = subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", *wanted], capture_output=True, text=True, check=False
        )
        found = list(Path(folder).glob("*.tar.gz"))
        if not found:
            raise NoSourcesError(ran.stderr.strip().splitlines()[-1:] or "pip downloaded nothing")
        return _texts(found[0])


def _texts(archive: Path) -> Mapping[str, str]:
    texts = {}
    with tarfile.open(archive) as package:
        for member in package:
            path = member.name.partition("/vendor/llama.cpp/")[2]
            if path.endswith(SUFFIXES) and path.startswith(FOLDERS):
                file = package.extractfile(member)
                assert file is not None
                texts[path] = file.read().decode("utf-8", "replace")
    return texts
