"""llama.cpp's control vectors: the file comes back exactly, llama.cpp reads it, and direction.l acts on layer l."""

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Runner
from gguf import GGUFReader, GGUFWriter

from tvcli.engine.gguf.control_vector import load, save, to_bytes
from tvcli.errors import TvError
from tvcli.vector import Provenance, TaskVector
from tvcli.vector import load as load_vector
from tvcli.vector import save as save_vector

ROW = np.arange(16, dtype=np.float32) - 7.25


@pytest.fixture
def odd(vector: TaskVector) -> TaskVector:
    """Numbers that a detour through text or double precision could change, and a selected layer."""
    rows = np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)
    rows[0, :4] = [-0.0, 1e-45, 3.4028235e38, 0.1]
    rows[3] = 0.0
    return TaskVector(rows, vector.provenance).with_layer(0, "by hand", 0.25)


Content = Callable[[GGUFWriter], Any]


def foreign(path: Path, *contents: Content, architecture: str = "controlvector") -> Path:
    """A file as other programs write it."""
    writer = GGUFWriter(path, architecture)
    for content in contents:
        content(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def direction(layer: object, row: np.ndarray = ROW) -> Content:
    return lambda writer: writer.add_tensor(f"direction.{layer}", row)


# -- the file ---------------------------------------------------------------------------------------------


def test_export_and_import_give_the_same_file_back(tv: Runner, odd: TaskVector, tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    for vector in (odd, odd / 2 - odd, TaskVector(odd.rows, Provenance())):
        save_vector(vector, path)
        assert tv("export", path, "--control-vector", tmp_path / "c.gguf").code == 0
        assert tv("import", tmp_path / "c.gguf", "-o", tmp_path / "again.npy").code == 0
        assert (tmp_path / "again.npy").read_bytes() == path.read_bytes()


def test_pipes_carry_both_formats(tv: Runner, odd: TaskVector, tmp_path: Path) -> None:
    save_vector(odd, tmp_path / "v.npy")
    gguf = tv("export", "-", "--control-vector", "-", stdin=(tmp_path / "v.npy").read_bytes())
    (tmp_path / "c.gguf").write_bytes(gguf.raw)
    assert tv("import", tmp_path / "c.gguf", "-o", "-").raw == (tmp_path / "v.npy").read_bytes()


def test_the_file_is_what_llama_cpps_generator_writes(odd: TaskVector, tmp_path: Path) -> None:
    save(odd, tmp_path / "c.gguf")
    reader = GGUFReader(tmp_path / "c.gguf")
    keys = ("general.architecture", "controlvector.model_hint", "controlvector.layer_count")
    assert [reader.fields[key].contents() for key in keys] == ["controlvector", "fake", 5]
    assert [(t.name, t.tensor_type.name, t.shape.tolist()) for t in reader.tensors] == [
        (f"direction.{layer}", "F32", [16]) for layer in range(1, 6)
    ]


def test_llama_cpps_own_parser_reads_the_numbers(odd: TaskVector, tmp_path: Path) -> None:
    """As common_control_vector_load does: gguf_init_from_file, then name, type and data of each tensor."""
    from tvcli.engine.native import places

    save(odd, tmp_path / "c.gguf")
    libggml = ctypes.CDLL(str(places.find().libraries()[0]))
    context = ctypes.c_void_p()

    class Params(ctypes.Structure):  # struct gguf_init_params { bool no_alloc; struct ggml_context ** ctx; };
        _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.POINTER(ctypes.c_void_p)))

    def call(name: str, restype: Any, *arguments: Any) -> Any:
        function = getattr(libggml, name)
        function.restype = restype
        return function(*arguments)

    path = str(tmp_path / "c.gguf").encode()
    file = ctypes.c_void_p(call("gguf_init_from_file", ctypes.c_void_p, path, Params(False, ctypes.pointer(context))))
    assert file
    assert call("gguf_get_n_tensors", ctypes.c_int64, file) == 5
    for layer in range(1, 6):
        name = call("gguf_get_tensor_name", ctypes.c_char_p, file, ctypes.c_int64(layer - 1))
        assert name == b"direction.%d" % layer
        tensor = ctypes.c_void_p(call("ggml_get_tensor", ctypes.c_void_p, context, name))
        assert call("ggml_n_dims", ctypes.c_int, tensor) == 1
        assert call("ggml_nelements", ctypes.c_int64, tensor) == 16
        data = call("ggml_get_data_f32", ctypes.POINTER(ctypes.c_float), tensor)  # asserts F32
        assert np.array_equal(np.ctypeslib.as_array(data, (16,)), odd.rows[layer])
    call("gguf_free", None, file)
    call("ggml_free", None, context)


def test_a_vector_of_one_layer_has_no_direction(tv: Runner, tmp_path: Path) -> None:
    save_vector(TaskVector(np.ones((1, 4), np.float32)), tmp_path / "v.npy")
    ran = tv("export", tmp_path / "v.npy", "--control-vector", tmp_path / "c.gguf")
    assert ran.code == 4
    assert "start at layer 1" in ran.err
    assert not (tmp_path / "c.gguf").exists()


# -- files of other programs ------------------------------------------------------------------------------


def test_missing_layers_are_zero_and_said(tv: Runner, tmp_path: Path) -> None:
    def hint(writer: GGUFWriter) -> None:
        writer.add_string("controlvector.model_hint", "llama")

    path = foreign(tmp_path / "c.gguf", hint, direction(2), direction(4, ROW * 2))
    ran = tv("import", path, "-o", tmp_path / "v.npy", "--layers", 8)
    vector = load_vector(tmp_path / "v.npy")
    assert ran.code == 0
    assert "no direction for layers 0 to 1, 3, 5 to 7" in ran.err
    assert vector.rows.shape == (8, 16)
    assert np.array_equal(vector.rows[[2, 4]], [ROW, ROW * 2])
    assert not vector.rows[[0, 1, 3, 5, 6, 7]].any()
    assert vector.provenance.source == "control vector"
    assert str(vector.provenance.model) == "a llama model (llama, 8 layers × 16)"


def test_without_layers_the_highest_direction_is_of_the_last(tmp_path: Path) -> None:
    vector, missing = load(foreign(tmp_path / "c.gguf", direction(1), direction(3)))
    assert (vector.n_layer, missing, vector.provenance.model) == (4, [0, 2], None)


BAD: list[tuple[tuple[Content, ...], str]] = [
    ((), "no directions"),
    ((direction(0),), "'direction.0' is not a direction"),
    ((direction("1x"),), "'direction.1x' is not a direction"),
    ((direction(512),), "from 1 to 511"),
    ((direction(9999999999),), "from 1 to 511"),
    ((lambda writer: writer.add_tensor("blk.0.attn_q.weight", ROW),), "is not a direction"),
    ((direction(1, ROW.astype(np.float16)),), "not a list of 32-bit floats"),
    ((direction(1, ROW.reshape(4, 4)),), "not a list of 32-bit floats"),
    ((direction(1), direction(2, ROW[:5])), "different lengths"),
    ((direction(1, ROW * np.float32(np.nan)),), "NaN"),
    ((direction(7),), "a direction for layer 7, which a model of 6 layers does not have"),
    ((direction(1), lambda writer: writer.add_string("tv.provenance", "{")), "not JSON"),
    ((direction(1), lambda writer: writer.add_string("tv.provenance", "[]")), "format 'list'"),
    ((direction(1), lambda writer: writer.add_int32("tv.provenance", 1)), "not of type str"),
    ((direction(1), lambda writer: writer.add_array("tv.layer_0", ["a"])), "not a list of floats"),
    ((direction(1), lambda writer: writer.add_array("tv.layer_0", [1.0])), "different lengths"),
]


@pytest.mark.parametrize(("contents", "words"), BAD, ids=[words for _, words in BAD])
def test_what_llama_cpp_would_refuse_is_refused_in_one_sentence(
    tv: Runner, tmp_path: Path, contents: tuple[Content, ...], words: str
) -> None:
    path = foreign(tmp_path / "c.gguf", *contents)
    ran = tv("import", path, "-o", tmp_path / "v.npy", "--layers", 6)
    assert ran.code == 4
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not (tmp_path / "v.npy").exists()


def test_other_files_are_refused(tv: Runner, odd: TaskVector, tmp_path: Path) -> None:
    model = foreign(tmp_path / "model.gguf", direction(1), architecture="llama")
    whole = to_bytes(odd)
    cases: list[tuple[bytes | None, set[int], str]] = [
        (None, {3}, "no such file"),
        (b"", {3}, "empty"),
        (b"\x93NUMPY" + bytes(100), {3}, "not a GGUF file"),
        (model.read_bytes(), {4}, "not a control vector but a GGUF file of the architecture 'llama'"),
        (whole[:-1], {3, 4}, "truncated"),
        (whole[:100], {3, 4}, "truncated"),
    ]
    for content, codes, words in cases:
        path = tmp_path / "c.gguf"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        ran = tv("import", path, "-o", tmp_path / "v.npy")
        assert ran.code in codes
        assert len(ran.err.splitlines()) == 1
        assert words in ran.err


def test_every_truncation_is_refused(odd: TaskVector, tmp_path: Path) -> None:
    whole = to_bytes(odd)
    for length in range(24, len(whole), 7):
        path = tmp_path / "c.gguf"
        path.write_bytes(whole[:length])
        with pytest.raises(TvError, match="truncated"):
            load(path)


# -- which layer direction.l means ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    from tvcli.engine.llama import LlamaEngine
    from tvcli.engine.protocol import Settings
    from tvcli.models.resolve import resolve

    with LlamaEngine(resolve("gemma3-270m").text, settings=Settings(threads=1)) as opened:
        yield opened


@pytest.mark.model
@pytest.mark.parametrize("layer", [0, 1, 9, 17])
def test_direction_l_is_added_to_the_output_of_layer_l_at_every_position(
    engine: Any, layer: int, tmp_path: Path
) -> None:
    """Bit for bit what tv's hook gives that adds the same row to ``l_out-l`` of every token."""
    decoder, model = engine._decoder, engine.model
    tokens = np.array(decoder.tokenize("Q:Egypt\nA:", first=True))
    n = len(tokens)

    def run(rows: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        edits = {at: [(row, lambda _, new=new: new) for row, new in enumerate(every)] for at, every in rows.items()}
        decoder.reserve(n)
        decoder.clear(data=False)
        with decoder.hook.armed(rows=n, edits=edits, read=True) as captured:
            decoder.decode(tokens, np.arange(n), np.zeros(n), logits=True)
        return captured, np.array([decoder.row_logits(row) for row in range(n)])

    plain, plain_logits = run({})
    rows = np.zeros((model.n_layer, model.n_embd), np.float32)
    rows[layer] = np.random.default_rng(0).standard_normal(model.n_embd) * plain[-1, layer].std() / 3
    save(TaskVector(rows), tmp_path / "c.gguf")
    data = np.concatenate([tensor.data for tensor in GGUFReader(tmp_path / "c.gguf").tensors])  # layer 1 at [0]
    decoder.set_control_vector(data.reshape(model.n_layer - 1, model.n_embd))
    try:
        added, added_logits = run({})
    finally:
        decoder.set_control_vector(None)
    if layer == 0:  # cannot be expressed
        assert np.array_equal(added_logits, plain_logits)
        return
    hooked, hooked_logits = run({layer: plain[:, layer] + rows[layer]})
    assert np.array_equal(added[:, :layer], plain[:, :layer])
    assert np.array_equal(added[:, layer], plain[:, layer] + rows[layer])
    assert np.array_equal(added, hooked)
    assert np.array_equal(added_logits, hooked_logits)
    for other in {layer - 1, min(layer + 1, model.n_layer - 1)} - {layer}:
        _, elsewhere = run({other: plain[:, other] + rows[layer]})
        assert np.abs(elsewhere - added_logits).max() > 1
