"""Parsers of what users bring, on made-up and on damaged input: they answer or refuse, and never do anything else.

The same few cases every time; ``TV_FUZZ=long`` runs many more, and others each time.
"""

import io
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import fuzz_gguf
import numpy as np
import tiny_gguf
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from tvcli.engine.gguf.checks import check_mmproj, check_model
from tvcli.errors import TvError, UnavailableError, UsageError, VectorError
from tvcli.evaluation.store import open_store
from tvcli.images import FORMATS, load_image
from tvcli.inputs.examples import read_examples, read_queries
from tvcli.inputs.lines import HEADERS
from tvcli.inputs.tasks import load_task
from tvcli.text import clean
from tvcli.vector import Provenance, TaskVector, load, to_bytes

settings.register_profile("ci", max_examples=300, derandomize=True, deadline=None, database=None)
settings.register_profile(
    "long", max_examples=20_000, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("TV_FUZZ", "ci"))

Edit = tuple[float, int, bytes]
edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=12)), max_size=6)


def damaged(data: bytes, changes: list[Edit]) -> bytes:
    """At some places some bytes are replaced by others."""
    for place, removed, added in changes:
        at = int(place * len(data))
        data = data[:at] + added + data[at + removed :]
    return data


def one_sentence(error: TvError, words: str = "") -> None:
    assert words in str(error)
    assert "\n" not in str(error)


def in_a_file(data: bytes, name: str, use: Callable[[Path], object]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        use(path)
        assert [one.name for one in Path(folder).iterdir()] == [name]


# -- pairs ------------------------------------------------------------------------------------------------

PAIRS = {
    "p.txt": "Greece\tAthens\r\nPerú -> Lima\n@@x\ty\n".encode(),
    "p.jsonl": b'{"input": "a", "output": "b"}\n{"image": "none.png", "output": ["b", "c"]}\n',
    "p.json": b'{"data": [{"input": "a", "output": "b"}]}',
}


@given(st.sampled_from(sorted(PAIRS)), edits)
@example("p.txt", [(0.0, 0, b"\xff\xfe")])
@example("p.txt", [(0.0, 0, b"@\0")])
@example("p.json", [(0.0, 0, b"[" * 10_000)])
def test_damaged_pairs_are_read_or_refused(name: str, changes: list[Edit]) -> None:
    def read(path: Path) -> None:
        try:
            examples = read_examples(str(path))
            assert all(x.input and x.output for x in examples)
            list(read_queries(str(path)))
        except (UsageError, UnavailableError) as error:
            one_sentence(error)

    in_a_file(damaged(PAIRS[name], changes), name, read)


@given(st.binary(max_size=200))
def test_noise_for_pairs_is_read_or_refused(data: bytes) -> None:
    def read(path: Path) -> None:
        try:
            read_examples(str(path))
        except (UsageError, UnavailableError) as error:
            one_sentence(error, str(path))

    in_a_file(data, "p.txt", read)


words = st.text(st.characters(exclude_characters="\r\n\t\0", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=5))
def test_pairs_are_what_was_written(rows: list[tuple[str, str]]) -> None:
    assume(all(clean(x) and clean(y) and not x.strip().startswith("@") for x, y in rows))
    assume(not any(column.strip().startswith('"') for row in rows for column in row))
    assume(not any(x.startswith("\ufeff") for x, _ in rows))
    assume(not all(column.strip().casefold() in names for column, names in zip(rows[0], HEADERS, strict=True)))

    def read(path: Path) -> None:
        found = [(one.input, one.output) for one in read_examples(str(path))]
        assert found == [(clean(x), clean(y)) for x, y in rows]

    in_a_file("".join(f"{x}\t{y}\n" for x, y in rows).encode(), "p.txt", read)


# -- vectors ----------------------------------------------------------------------------------------------

VECTOR = to_bytes(TaskVector(np.arange(6, dtype=np.float32).reshape(2, 3), Provenance(source="x", layer=1)))


@given(edits)
@example([(0.08, 118, b"(" * 118)])  # NumPy's tokenizer
@example([(0.5, 0, b"\n")])  # NumPy warns of Python 2
@example([(0.08, 118, b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 99999), }")])
def test_a_damaged_vector_is_read_or_refused(changes: list[Edit]) -> None:
    try:
        vector = load(damaged(VECTOR, changes))
    except VectorError as error:
        one_sentence(error)
    else:
        again = load(to_bytes(vector))
        assert np.array_equal(again.rows, vector.rows)
        assert again.provenance == vector.provenance


@given(st.binary(max_size=300), st.booleans())
def test_noise_for_a_vector_is_refused(data: bytes, begins_well: bool) -> None:
    try:
        load(VECTOR[:10] + data if begins_well else data)
    except VectorError as error:
        one_sentence(error)


# -- pictures ---------------------------------------------------------------------------------------------


def drawn(kind: str) -> bytes:
    buffer = io.BytesIO()
    Pillow.linear_gradient("L").resize((24, 16)).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


Pillow.init()
PICTURES = {kind: drawn(kind) for kind in FORMATS if kind in Pillow.SAVE and kind != "MPO"}


@given(st.sampled_from(sorted(PICTURES)), edits)
def test_a_damaged_picture_is_decoded_or_refused(kind: str, changes: list[Edit]) -> None:
    data = damaged(PICTURES[kind], changes)
    try:
        pixels = load_image(data, "x.png").pixels
    except UnavailableError as error:
        one_sentence(error, "x.png")
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3


# -- GGUF -------------------------------------------------------------------------------------------------

MODEL, VISION = bytes(tiny_gguf.model()), bytes(tiny_gguf.vision())


def checked(model: bytes, mmproj: bytes) -> None:
    for data, check in ((model, check_model), (mmproj, check_mmproj)):

        def read(path: Path, check: Callable[[Path], object] = check) -> None:
            try:
                check(path)
            except UnavailableError as error:
                one_sentence(error, "m.gguf")

        in_a_file(data, "m.gguf", read)


header = st.lists(st.tuples(st.floats(0, 0.1), st.integers(0, 12), st.binary(max_size=12)), max_size=6)


@given(header, edits)
@example([(0.0, 8, b"GGUF\x03\0\0\0")], [])
def test_a_damaged_gguf_file_is_checked_without_a_crash(near: list[Edit], far: list[Edit]) -> None:
    checked(damaged(damaged(MODEL, near), far), damaged(damaged(VISION, near), far))


@given(st.integers(0, 1 << 31))
def test_a_wrong_gguf_file_is_checked_without_a_crash(case: int) -> None:
    checked(*fuzz_gguf.hostile_pair(case))


# -- results and tasks ------------------------------------------------------------------------------------

RESULTS = (
    b'{"format": 1, "shots": 5}\n{"task": "t", "source": "", "query": "text", "method": "no context", "split": "test", '
    b'"seed": 0, "sample": 0, "layer": null, "input": "x", "labels": ["y"], "answer": "z", "correct": false, '
    b'"margin": 0.5, "against": null}\n'
)


@given(edits)
def test_damaged_results_are_resumed_or_refused(changes: list[Edit]) -> None:
    data = damaged(RESULTS, changes)

    def resume(path: Path) -> None:
        try:
            with open_store(path, {"shots": 5}, resume=True) as store:
                for cell in store.cells():
                    store.records(cell)
        except UsageError as error:
            one_sentence(error, str(path))
            unchanged(path)

    def unchanged(path: Path) -> None:
        assert path.read_bytes() == data

    in_a_file(data, "a.jsonl", resume)


TOML = b'description = "d"\ninstruction = "i:"\nwordings = {typo = ["a", "b"]}\npattern = "^a+$"\n'
SAMPLES = b'{"input": "cat", "output": ["Felis catus"], "image": "x.png", "split": "test"}\n'


@given(edits, edits)
def test_a_damaged_task_is_read_or_refused(toml: list[Edit], samples: list[Edit]) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, "task.toml").write_bytes(damaged(TOML, toml))
        Path(folder, "examples.jsonl").write_bytes(damaged(SAMPLES, samples))
        try:
            assert load_task(Path(folder)).test
        except TvError as error:
            one_sentence(error, folder)
