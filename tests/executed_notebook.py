"""Runs docs/notebook.ipynb; as a program, with its new outputs written into the file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def executed(folder: Path) -> nbformat.NotebookNode:
    """The notebook with new outputs, run in `folder`. Raises what nbclient does for a cell that raises."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    metadata = dict(notebook.metadata)
    client = NotebookClient(
        notebook, kernel_name="python3", record_timing=False, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})
    notebook.metadata = metadata  # nbclient adds the version of Python
    return notebook


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        nbformat.write(executed(Path(temporary)), NOTEBOOK)
