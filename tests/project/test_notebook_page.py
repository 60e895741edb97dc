"""docs/notebook.ipynb runs from top to bottom, and its results are those of its saved outputs."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest
from executed_notebook import NOTEBOOK, executed

from tvcli.metrics import PAPERS_METRIC

PATH = re.compile(r"(?<![\w/:])(?:/[\w.-]+){2,}|\b[A-Za-z]:\\|\\\\\w|file:")
PLOTS = ("sweep-plot", "map-plot")
TABLES_OF_NUMBERS = ("counts", "sweep", "lens", "map")


def code_cells(notebook: Any) -> dict[str, Any]:
    """By id, in order."""
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


def table(notebook: Any, cell: str) -> list[dict[str, str]]:
    """The rows of the table that a cell shows, by column."""
    [output] = code_cells(notebook)[cell].outputs
    head, *rows = ([field.text or "" for field in row] for row in ElementTree.fromstring(output.data["text/html"]))
    return [dict(zip(head, row, strict=True)) for row in rows]


def answered(notebook: Any, method: str) -> set[str]:
    """The labels of the flags that a method answers correctly."""
    rows = table(notebook, "answers")
    return {row["label"] for row in rows if PAPERS_METRIC.correct(row[method], [row["label"]])}


def texts(notebook: Any) -> Iterator[str]:
    """All that can be read in it."""
    for cell in notebook.cells:
        yield cell.source
        for output in cell.get("outputs", []):
            shown = (data for kind, data in output.data.items() if kind != "image/png")
            yield from (re.sub(r"base64,[\w+/=]+", "", data) for data in shown)


@pytest.fixture(scope="module")
def saved() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run anew, without the user's settings of Jupyter. A cell that raises is an error here."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patched:
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patched.setenv(name, str(folder / "settings"))
        yield executed(folder)


# -- as it is saved ----------------------------------------------------------------------------------------------------


def test_every_code_cell_is_python_and_has_its_outputs(saved: Any) -> None:
    cells = code_cells(saved)
    assert len(cells) >= 10
    assert [cell.execution_count for cell in cells.values()] == list(range(1, len(cells) + 1))
    for name, cell in cells.items():
        compile(cell.source, name, "exec")
        assert {output.output_type for output in cell.outputs} == {"execute_result"}, name


def test_it_has_nothing_of_the_machine_that_ran_it(saved: Any) -> None:
    assert saved.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert not [cell.id for cell in saved.cells if cell.metadata]
    assert not [found for text in texts(saved) for found in PATH.findall(text)]


@pytest.mark.parametrize(
    "text", ["'/home/me/tv/fr.png'", '"/tmp/x"', "(/Users/me/x", r"C:\Users", r"\\host\x", "file://x", "see /opt/x"]
)
def test_a_path_of_a_machine_is_found(text: str) -> None:
    assert PATH.search(text)


def test_it_is_small_and_explains_every_step(saved: Any) -> None:
    assert NOTEBOOK.stat().st_size < 600_000
    assert sum(cell.cell_type == "markdown" for cell in saved.cells) >= len(code_cells(saved)) - 1
    assert not [name for name, cell in code_cells(saved).items() if len(cell.source.splitlines()) > 16]


@pytest.mark.parametrize("name", TABLES_OF_NUMBERS)
def test_every_table_of_numbers_says_n(saved: Any, name: str) -> None:
    assert "n" in re.findall(r"\w+", " ".join(table(saved, name)[0]))


# -- run anew ----------------------------------------------------------------------------------------------------------


@pytest.mark.model
def test_the_vector_answers_the_flags_that_the_saved_outputs_say(saved: Any, made: Any) -> None:
    """The other answers are near-ties."""
    assert len(table(made, "answers")) == len(table(saved, "answers"))
    assert len(answered(saved, "patch")) > len(table(saved, "answers")) / 2
    assert answered(saved, "patch") <= answered(made, "patch")
    assert not answered(made, "no context")
    for notebook in (saved, made):
        for row in table(notebook, "counts"):
            assert int(row["correct"]) == len(answered(notebook, row["method"]))
            assert int(row["n"]) == len(table(notebook, "answers"))


@pytest.mark.model
def test_the_best_layer_is_the_saved_one_or_next_to_it(saved: Any, made: Any) -> None:
    for before, now in zip(table(saved, "sweep"), table(made, "sweep"), strict=True):
        assert (before["split"], before["n"]) == (now["split"], now["n"])
        assert abs(int(before["layer"]) - int(now["layer"])) <= 1
        assert float(now["accuracy"]) == pytest.approx(float(before["accuracy"]), abs=0.15)


@pytest.mark.model
def test_the_lens_shows_the_answer_and_the_task(made: Any) -> None:
    prompt, vector = ([list(row.values())[column] for row in table(made, "lens")] for column in (1, 2))
    assert all(re.match(r"' ?Cairo' ", row) for row in prompt[12:])
    assert not [row for row in prompt[:11] if "Cairo" in row]
    assert "' столи' " in vector[13]
    assert "' Hauptstadt' " in vector[13]


@pytest.mark.model
def test_the_map_clusters_by_task_at_the_delimiter(made: Any) -> None:
    delimiter, context = table(made, "map")
    assert float(delimiter["silhouette by task"]) > 0.5 > float(context["silhouette by task"])
    assert abs(float(delimiter["silhouette by modality"])) < 0.15 < float(context["silhouette by modality"])


@pytest.mark.model
def test_the_plots_are_images(made: Any) -> None:
    for name in PLOTS:
        [output] = code_cells(made)[name].outputs
        assert base64.b64decode(output.data["image/png"]).startswith(b"\x89PNG")
