"""A task folder of one sample, in a folder of the test's own."""

from __future__ import annotations

import json
from pathlib import Path

RECORD = {"input": "cat", "output": ["Felis catus"], "split": "test"}
TOML = 'description = "d"\ninstruction = "i:"\n'


def folder_with(tmp_path: Path, toml: str = TOML, lines: str = json.dumps(RECORD)) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "task.toml").write_text(toml)
    (folder / "examples.jsonl").write_text(lines)
    return folder
