"""Inputs that mean harm, or might as well: what tv is given, how it ends, and words of its one sentence.

    python tests/hostile_cases.py

runs each in a process of its own and prints the table: case, exit code, seconds, peak memory, sentence.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tiny_gguf
from PIL import Image as Pillow
from tiny_gguf import ARRAY, BOOL, F32, I32, STRING, U16, U32, U64

from tvcli.engine.fake import FakeEngine
from tvcli.evaluation.setup import Setup, Transfer
from tvcli.evaluation.store import FORMAT
from tvcli.inputs.tasks import find_task
from tvcli.kinds import Modality, Source
from tvcli.method.extract import tv_version

DATA = Path(__file__).parent / "data"
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Case:
    """`files` are there before; `native` ones get as far as llama.cpp, and need a process of their own."""

    name: str
    arguments: list[str]
    code: int
    words: str
    stdin: bytes = b""
    files: Files = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    native: bool = False

    def write_files(self, folder: Path) -> None:
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


GOOD = npy(np.ones((6, 16), np.float32))  # a vector for the fake model
PAIRS = b"a\tb\nc\td\n"
DEEP = b"[" * 100_000


# -- pairs and queries ------------------------------------------------------------------------------------


def pairs() -> Iterator[Case]:
    read = ["extract", "-o", "v.npy", "-e"]
    for name, data, code, words in [
        ("nothing", b"", 2, "contains no examples"),
        ("one example", b"a\tb\n", 2, "at least 2 examples"),
        ("a line without an answer", b"a\tb\nc\n", 2, "standard input, line 2: no tab"),
        ("a byte order mark alone", b"\xef\xbb\xbf", 2, "contains no examples"),
        ("binary", b"\x80\x81\xfe" * 2000, 2, "is not UTF-8 text"),
        ("half of a UTF-16 character", b"\xff\xfea\x00\t\x00b", 2, "is not UTF-16 text"),
        ("JSON nested 100,000 deep", b'{"input": ' + DEEP, 2, "line 1: not JSON"),
        ("a JSON number of 5,000 digits", b'{"input": ' + b"9" * 5000 + b"}", 2, "line 1: not JSON"),
        ("NaN for a text", b'{"input": NaN, "output": "x"}\n', 2, "line 1: the input is the number nan"),
        ("NUL in a picture's name", b"@a\x00b\tx\nc\td", 2, "contains a NUL character (byte 2)"),
        ("a picture that is not there", b"@none.png\tb\nc\td", 3, "line 1: image none.png cannot be read"),
        ("a picture that is this process's memory", b"@/proc/self/mem\tb\nc\td", 3, "cannot be read"),
        ("a picture without end", b"@/dev/zero\tb\nc\td", 3, "it is larger than 128 MiB"),
        ("a line of two million characters", b"a" * 2_000_000, 2, "line 1: longer than 1 MiB"),
        ("100,001 examples", b"a\tb\n" * 100_001, 2, "more than 100,000 examples"),
    ]:
        yield Case(f"pairs: {name}", [*read, "-"], code, words, data)
    yield Case("pairs: a file without end", [*read, "/dev/zero"], 3, "it is larger than 128 MiB")
    yield Case("pairs: a folder", [*read, "."], 3, "is a directory")
    yield Case("pairs: no such file", [*read, "none.txt"], 3, "none.txt cannot be read: no such file")
    yield Case("pairs: a name of 5,000 characters", [*read, "a" * 5000], 3, "file name too long")
    yield Case("pairs: a JSON file of numbers", [*read, "p.json"], 2, "expected a JSON list", files={"p.json": b"[1]"})


def queries() -> Iterator[Case]:
    ask = ["prompt", "--queries"]
    yield Case("queries: an empty file", [*ask, "q"], 2, "contains no queries", files={"q": b"\n \n"})
    yield Case("queries: not there", [*ask, "none"], 3, "none cannot be read")
    yield Case("queries: binary", [*ask, "q"], 2, "is not UTF-8", files={"q": b"\x80\x81" * 500})
    yield Case("queries: a list for a picture", [*ask, "-"], 2, "line 1: the image must be a path", b'{"image": [1]}\n')
    yield Case("queries: JSON nested deep", [*ask, "-"], 2, "line 1: not JSON", b'{"input":' + DEEP)
    yield Case("queries: a line without end", [*ask, "-"], 2, "longer than 1 MiB", b"x" * 2_000_000)
    names = ["prompt", "--images-from", "-"]
    yield Case("picture names: one without end", names, 2, "line 1: longer than 64 KiB", b"x" * 200_000)
    yield Case("picture names: NUL in lines", names, 2, "contains NUL characters", b"a\0b\n")
    yield Case("examples before a query: none", ["prompt", "-t", "x", "-e", "-"], 2, "contains no examples", b"\n")


# -- vectors ----------------------------------------------------------------------------------------------


def npy_header(text: str, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", 118) + text.encode().ljust(118) + bytes(64)


def with_metadata(text: bytes) -> bytes:
    return GOOD + npy(np.frombuffer(text, np.uint8))


class Exploit:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def vectors() -> Iterator[Case]:
    called = "__import__('os').system('touch pwned')"
    torn = "{'descr': '<f4', 'fortran_order': False, 'shape': "
    for name, data, words in [
        ("nothing", b"", "not a NumPy array"),
        ("a text", b"hello", "not a NumPy array"),
        ("pickled code", npy(np.array([Exploit()], dtype=object), allow_pickle=True), "pickled Python objects"),
        ("code for a header", npy_header(called), "not a NumPy array"),
        ("code for a type", npy_header(f"{{'descr': {called}, 'fortran_order': False, 'shape': ()}}"), "not a NumPy"),
        ("a claim of 10 TB", npy_header(torn + "(99999999, 99999)}"), "truncated"),
        ("a product beyond 64 bits", npy_header(torn + f"({1 << 33}, {1 << 33})}}"), "truncated"),
        ("a negative shape", npy_header(torn + "(-6, 16)}"), "the vector"),
        ("version 9", npy_header(torn + "(6, 16)}", b"\x09\x00"), "not a NumPy array"),
        ("a header nested deep", npy_header("(" * 117), "not a NumPy array"),
        ("cut", GOOD[:-5], "truncated"),
        ("a zip archive (npz)", b"PK\x03\x04" + bytes(100), "not a NumPy array"),
        ("a GGUF file", bytes(tiny_gguf.model()), "not a NumPy array"),
        ("double precision", npy(np.ones((6, 16))), "float32, not float64"),
        ("another width", npy(np.ones((6, 17), np.float32)), "6 layers × 17, the model fake 6 × 16"),
        ("no layers", npy(np.ones((0, 16), np.float32)), "shape"),
        ("NaN", npy(np.full((6, 16), np.nan, np.float32)), "NaN"),
        ("metadata nested deep", with_metadata(DEEP), "metadata is not JSON"),
        ("an accuracy of 400 digits", with_metadata(b'{"format": 1, "accuracy": 1%b}' % (b"0" * 400)), "malformed"),
        ("metadata of the wrong types", with_metadata(b'{"format": 1, "layer": "2"}'), "malformed"),
        ("a layer that is not there", with_metadata(b'{"format": 1, "layer": 6}'), "layer 6 is outside 0 to 5"),
        ("more behind the metadata", with_metadata(b'{"format": 1}') + b"x", "more data than a vector"),
    ]:
        yield Case(f"vector: {name}", ["apply", "-", "-t", "x"], 4, words, data)
    yield Case("vector: without end", ["show", "/dev/zero"], 3, "it is larger than 128 MiB")
    yield Case("vector: not there", ["show", "none.npy"], 3, "vector none.npy cannot be read")
    yield Case("vector: a folder", ["show", "."], 3, "is a directory")
    yield Case("vector: the same pipe for a picture", ["apply", "-", "-i", "-"], 2, "only one of the inputs")


# -- pictures ---------------------------------------------------------------------------------------------


def encoded(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", (64, 64), "red").save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + png_chunk(b"IEND", b"")


def pictures() -> Iterator[Case]:
    zeros = zlib.compress(bytes(200_000_000), 9)  # 190 kB
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(pwned) (w) file\n"
    jpeg = bytearray(encoded("JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xff\xff\xff"  # 65,535 × 65,535
    for name, data, words in [
        ("nothing", b"", "is empty (0 bytes)"),
        ("a text", b"not an image at all", "not an image"),
        ("an SVG drawing", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        ("a program (EPS, for which Pillow runs Ghostscript)", eps, "not an image"),
        ("a cut PNG", encoded("PNG")[:60], "damaged"),
        ("a cut JPEG", encoded("JPEG")[:-40], "damaged"),
        ("a cut GIF", encoded("GIF")[:20], "damaged|not an image"),
        ("an AVIF with damaged colors", (DATA / "damaged.avif").read_bytes(), "damaged|not an image"),
        ("a cut WebP", encoded("WEBP")[:30], "damaged|not an image"),
        ("a TIFF whose directory lies outside", b"II*\0" + struct.pack("<I", 1 << 31), "damaged|not an image"),
        ("a PNG of 10 billion pixels", png(100_000, 100_000), "too large"),
        ("a PNG of 81 million pixels", png(9_000, 9_000), "too large"),
        ("a JPEG of 4 billion pixels", bytes(jpeg), "too large"),
        ("a PPM of a trillion pixels", b"P6 1000000 1000000 255\n" + bytes(99), "too large"),
        ("a PNG without pixels", png(0, 0), "damaged|not an image"),
        ("a PNG of 190 kB that unpacks to 200 MB", png(4, 4, png_chunk(b"IDAT", b"x" + zeros)), "damaged"),
        ("a PNG text that unpacks to 200 MB", png(4, 4, png_chunk(b"zTXt", b"a\0\0" + zeros)), "damaged"),
        ("a PNG profile that unpacks to 200 MB", png(4, 4, png_chunk(b"iCCP", b"a\0\0" + zeros)), "damaged"),
    ]:
        yield Case(f"picture: {name}", ["prompt", "-i", "-"], 3, words, data)
    yield Case("picture: not there", ["prompt", "-i", "none.png"], 3, "none.png cannot be read")
    yield Case("picture: a device without end", ["prompt", "-i", "/dev/zero"], 3, "it is larger than 128 MiB")
    yield Case("picture: a device without anything", ["prompt", "-i", "/dev/null"], 3, "is empty")
    yield Case("picture: a folder of none", ["prompt", "-i", "."], 3, "contains no images")
    yield Case("picture: escapes in its name", ["prompt", "-i", "\x1b]0;pwned\x07.png"], 3, "\\x1b]0;pwned\\x07.png")
    yield Case("picture: a name of 5,000 characters", ["prompt", "-i", "a" * 5000], 3, "file name too long")


# -- models -----------------------------------------------------------------------------------------------


def model(name: str, data: bytes | tiny_gguf.File, words: str, *, code: int = 3, native: bool = False) -> Case:
    arguments = ["prompt", "-t", "x", "--threads", "1", "-m", "m.gguf"]
    return Case(f"model: {name}", arguments, code, words, files={"m.gguf": bytes(data)}, native=native)


def model_headers() -> Iterator[Case]:
    good = tiny_gguf.model()
    whole = bytes(good)
    last = good.tensors[-1].name
    yield model("nothing", b"", "is empty (0 bytes)")
    yield model("noise", b"not a model", "is not a GGUF file")
    yield model("the magic alone", b"GGUF", "truncated in its header")
    yield model("cut in the vocabulary", whole[:2000], "truncated in its header")
    yield model("cut in the tensors' data", whole[:-40], "the data of its tensors reach beyond the end")
    for version in (0, 1, 4, 99):
        yield model(f"version {version}", replace(good, version=version), f"has GGUF version {version}")
    yield model("big-endian", replace(good, version=3 << 24), "big-endian")
    yield model("2⁶³ tensors", replace(good, n_tensors=1 << 63), "tensors; the limit is")
    yield model("2⁶³ keys", replace(good, n_keys=1 << 63), "keys; the limit is")
    yield model("60,000 keys in 100 kB", replace(good, n_keys=60_000), "keys do not fit")
    yield model("a key longer than the file", whole[:24] + struct.pack("<Q", 1 << 40) + whole[32:], "does not fit")
    yield model("a key of 2⁶⁴ - 1 bytes", whole[:24] + b"\xff" * 8 + whole[32:], "does not fit")
    yield model("a key without a name", good.with_keys(**{"": (U32, 1)}), "a key without a name")
    twice = replace(good, n_keys=len(good.keys) + 1, extra_keys=tiny_gguf.entry("general.name", (STRING, "x")))
    yield model("a key twice", twice, "has the key 'general.name' twice")
    odd = tiny_gguf.text("x") + struct.pack("<I", 13)
    yield model("a value of type 13", replace(good, n_keys=len(good.keys) + 1, extra_keys=odd), "unknown type 13")
    for title, array in [
        ("an array of arrays", struct.pack("<IIQ", ARRAY, ARRAY, 1)),
        ("an array of 2⁶⁰ numbers", struct.pack("<IIQ", ARRAY, U64, 1 << 60)),
        ("an array of 16 million texts", struct.pack("<IIQ", ARRAY, STRING, 16_000_000)),
        ("an array of a text of 2⁶³ bytes", struct.pack("<IIQQ", ARRAY, STRING, 1, 1 << 63)),
    ]:
        words = "array of arrays" if "arrays" in title else "the limit is|does not fit|do not fit|truncated"
        extra = tiny_gguf.text("x") + array
        yield model(title, replace(good, n_keys=len(good.keys) + 1, extra_keys=extra), words)
    for alignment in ((U32, 3), (U32, 0), (STRING, "32"), (I32, 32)):
        yield model(
            f"alignment {alignment[1]!r} of type {alignment[0]}",
            good.with_keys(general__alignment=alignment),
            "not a power of two",
        )
    yield model("5 dimensions", good.with_tensor(last, n_dims=5), "of 5 dimensions; the limit is 4")
    yield model("4 billion dimensions", good.with_tensor(last, n_dims=(1 << 32) - 1), "dimensions; the limit is 4")
    yield model("sizes that wrap to 0", good.with_tensor(last, shape=(1 << 32, 1 << 32)), "an impossible shape")
    yield model("sizes that wrap to 64", good.with_tensor(last, shape=((1 << 58) + 1, 64)), "an impossible shape")
    yield model("a negative size", good.with_tensor(last, shape=((1 << 64) - 32, 1)), "an impossible shape")
    yield model("a size of 0", good.with_tensor(last, shape=(0, 32)), "an impossible shape")
    yield model(
        "a tensor of a petabyte", good.with_tensor(last, shape=(1 << 24, 1 << 24)), "beyond the end of the file"
    )
    yield model(
        "a tensor twice", good.with_tensor(last, name="output_norm.weight"), "has the tensor 'output_norm.weight' twice"
    )
    yield model("a tensor's name of 70 characters", good.with_tensor(last, name="x" * 70), "whose name is too long")
    yield model("data that are not aligned", good.with_tensor(last, offset=7), "at offset 7, not at")
    yield model("data outside the file", good.with_tensor(last, offset=1 << 40), "at offset 1099511627776")
    yield model("data before the file", good.with_tensor(last, offset=(1 << 64) - 32), "at offset 184467")
    yield model("tensors that share their data", good.with_tensor(last, offset=0), "at offset 0, not at")
    yield model("a tensor of type 2³¹", good.with_tensor(last, kind=1 << 31), "the unknown type")
    yield model("blocks in a tensor without dimensions", good.with_tensor(last, kind=2, shape=()), "a multiple of 32")
    yield model("blocks of 32 in rows of 20", good.with_tensor(last, kind=2, shape=(20, 32)), "needs a multiple of 32")


def model_contents() -> Iterator[Case]:
    good = tiny_gguf.model()
    vocabulary = "tokenizer__ggml__tokens"
    yield model("no architecture", good.with_keys(general__architecture=None), "does not name its architecture")
    yield model("the vision half", tiny_gguf.vision(), "is the image encoder of a model (mmproj); give it as ")
    yield model(
        "an adapter", good.with_keys(general__type=(STRING, "adapter")), "does not contain a model but 'adapter'"
    )
    yield model(
        "escapes for a type",
        good.with_keys(general__type=(STRING, "\x1b[2J")),
        "does not contain a model but '\\x1b[2J'",
    )
    yield model("no layers", good.with_keys(llama__block_count=(U32, 0)), "claims to have 0 layers")
    yield model("513 layers", good.with_keys(llama__block_count=(U32, 513)), "claims to have 513 layers")
    yield model(
        "a width of 4 billion",
        good.with_keys(llama__embedding_length=(U32, (1 << 32) - 1)),
        "claims to have a width of 4294967295",
    )
    yield model(
        "3 of 2 experts",
        good.with_keys(llama__expert_count=(U32, 2), llama__expert_used_count=(U32, 3)),
        "claims to use 3 of 2 experts",
    )
    yield model(
        "2,000 experts",
        good.with_keys(llama__expert_count=(U32, 2000), llama__expert_used_count=(U32, 1)),
        "claims to use 1 of 2000 experts",
    )
    yield model(
        "an unknown RoPE", good.with_keys(llama__rope__scaling__type=(STRING, "magic")), "unknown RoPE scaling 'magic'"
    )
    for epsilon in (-1.0, float("nan"), float("inf")):
        key = {"llama__attention__layer_norm_rms_epsilon": (F32, epsilon)}
        yield model(f"an epsilon of {epsilon}", good.with_keys(**key), f"layer_norm_rms_epsilon {epsilon}")
    yield model("no vocabulary", good.with_keys(tokenizer__ggml__model=(STRING, "none")), "has no vocabulary")
    yield model(
        "a vocabulary of numbers",
        good.with_keys(**{vocabulary: (ARRAY, U32, [1, 2])}),
        "has a vocabulary that is not a list of texts",
    )
    few = [token for token in tiny_gguf.TOKENS if token != "<0x41>" and token != "A"]
    yield model(
        "a vocabulary without A", good.with_keys(**{vocabulary: (ARRAY, STRING, few)}), "a token for every byte"
    )
    yield model(
        "weights of whole numbers", good.with_tensor("blk.1.ffn_down.weight", kind=26), "ggml cannot multiply by: I32"
    )
    part = good.with_keys(split__count=(U16, 2), split__no=(U16, 0), split__tensors__count=(I32, 20))
    yield model("a part under another name", part, "is one of 2 files of a model")
    first, second = "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"
    ask = ["prompt", "-t", "x", "-m"]
    other = bytes(part.with_keys(split__no=(U16, 1)))
    yield Case("model: the other part is missing", [*ask, first], 3, f"{second} is missing", files={first: bytes(part)})
    yield Case("model: the second part alone", [*ask, second], 3, f"give {first}", files={second: other})
    yield Case(
        "model: twice the first part",
        [*ask, first],
        3,
        "is not part 2",
        files={first: bytes(part), second: bytes(part)},
    )
    yield Case(
        "model: the other part is noise",
        [*ask, first],
        3,
        "not a GGUF file",
        files={first: bytes(part), second: b"noise"},
    )
    yield Case("model: a folder", [*ask, "."], 3, "is a directory|not a regular file")
    yield Case("model: a device", [*ask, "/dev/zero"], 3, "it is not a regular file")
    yield Case("model: not there", [*ask, "none.gguf"], 3, "none.gguf cannot be read: no such file")
    yield Case("model: no such name", [*ask, "nope"], 3, "unknown model 'nope'")
    yield Case("model: a name of 5,000 characters", [*ask, "a" * 5000], 3, "file name too long")


def mmproj(name: str, data: bytes | tiny_gguf.File, words: str, *, code: int = 3, native: bool = False) -> Case:
    files = {"m.gguf": bytes(tiny_gguf.model()), "v.gguf": bytes(data), "p.png": encoded("PNG")}
    arguments = ["prompt", "-i", "p.png", "--threads", "1", "-m", "m.gguf", "--mmproj", "v.gguf"]
    return Case(f"mmproj: {name}", arguments, code, words, files=files, native=native)


def towers() -> Iterator[Case]:
    good = tiny_gguf.vision()
    yield mmproj("nothing", b"", "is empty (0 bytes)")
    yield mmproj("cut", bytes(good)[:-100], "beyond the end of the file")
    yield mmproj("a text model", tiny_gguf.model(), "is not the image encoder of a model (mmproj)")
    for key, value, words in [
        ("clip__projector_type", (U32, 1), "has clip.projector_type as uint32, not string"),
        ("clip__has_vision_encoder", (STRING, "yes"), "has clip.has_vision_encoder as string, not bool"),
        ("clip__vision__image_size", (F32, 32.0), "has clip.vision.image_size as float32, not uint32"),
        ("clip__vision__block_count", (ARRAY, U32, [1]), "has clip.vision.block_count as array of uint32, not uint32"),
        ("clip__vision__attention__layer_norm_epsilon", (U32, 1), "as uint32, not float32"),
        ("clip__use_gelu", (U32, 1), "has clip.use_gelu as uint32, not bool"),
        ("general__name", (BOOL, True), "has general.name as bool, not string"),
        ("clip__vision__attention__head_count", (U32, 0), "has clip.vision.attention.head_count 0"),
        ("clip__vision__attention__head_count", (U32, 3), "has a width of 16, which is not divisible by its 3 heads"),
        ("clip__vision__patch_size", (U32, 0), "has clip.vision.patch_size 0"),
        ("clip__vision__attention__layer_norm_epsilon", (F32, float("nan")), "layer_norm_epsilon nan"),
    ]:
        told = f"{key.replace('__', '.')} = {value[-1]!r}"
        yield mmproj(told, good.with_keys(**{key: value}), words)
    yield mmproj("weights of whole numbers", good.with_tensor("v.blk.0.ffn_up.weight", kind=26), "multiply by: I32")


def past_the_check() -> Iterator[Case]:
    """What llama.cpp refuses, asserts or crashes on itself: one sentence all the same."""
    good, tower = tiny_gguf.model(), tiny_gguf.vision()
    yield model(
        "an unknown architecture",
        good.with_keys(general__architecture=(STRING, "nope")),
        "unknown model architecture: 'nope'",
        native=True,
    )
    yield model("a key of another type", good.with_keys(llama__block_count=(I32, 2)), "has wrong type i32", native=True)
    yield model(
        "a tensor of another shape", good.with_tensor("output_norm.weight", shape=(64,)), "has wrong shape", native=True
    )
    yield model(
        "a tensor that is not there", good.with_tensor("output_norm.weight", name="x"), "not found", native=True
    )
    doubled = [*tiny_gguf.TOKENS[:-1], "Q"]
    yield model(
        "a vocabulary with a word twice",
        good.with_keys(tokenizer__ggml__tokens=(ARRAY, STRING, doubled)),
        "llama.cpp cannot continue: GGML_ASSERT",
        code=1,
        native=True,
    )
    yield mmproj(
        "of another width",
        tower.with_keys(clip__vision__projection_dim=(U32, 64)).with_tensor(
            "mm.input_projection.weight", shape=(64, 16)
        ),
        "mismatch between text model (n_embd = 32) and mmproj (n_embd = 64)",
        native=True,
    )
    yield mmproj(
        "an unknown projector",
        tower.with_keys(clip__projector_type=(STRING, "nope")),
        "unknown projector type",
        native=True,
    )
    yield mmproj(
        "a bias of another length",
        tower.with_tensor("v.blk.0.ffn_up.bias", shape=(5,)),
        "llama.cpp cannot continue: GGML_ASSERT",
        code=1,
        native=True,
    )
    gone = replace(tower, tensors=[t for t in tower.tensors if t.name != "v.blk.0.attn_q.weight"])
    yield mmproj("a tower with a hole", gone, "llama.cpp crashed (SIGSEGV)", native=True)
    yield mmproj(
        "another projector's name",
        tower.with_keys(clip__projector_type=(STRING, "mlp")),
        "llama.cpp crashed (SIGSEGV)",
        native=True,
    )


# -- folders, catalogs, results, archives -----------------------------------------------------------------


TOML = b'description = "d"\ninstruction = "i:"\n'
SAMPLE = b'{"input": "cat", "output": ["Felis catus"]}\n'


def tasks() -> Iterator[Case]:
    for name, toml, samples, words in [
        ("TOML nested 100,000 deep", b"x = " + DEEP, SAMPLE, "task.toml: "),
        ("TOML that is binary", b"\xff\xfe\x00" * 99, SAMPLE, "task.toml is not UTF-16 text"),
        ("an unknown key", TOML + b"color = 1\n", SAMPLE, "unknown key color"),
        ("a number for a text", TOML + b"group = 3\n", SAMPLE, "the key group cannot be 3"),
        ("a number of 9,999 digits", TOML + b"group = 0x" + b"f" * 9999, SAMPLE, "the key group cannot be this int"),
        ("wordings that are none", TOML + b'wordings = "x"\n', SAMPLE, "the key wordings cannot be 'x'"),
        ("a broken pattern", TOML + b'pattern = "("\n', SAMPLE, "not a regular expression"),
        ("no samples", TOML, b"", "contains no test samples"),
        ("JSON nested 100,000 deep", TOML, b'{"input": ' + DEEP, "line 1: not JSON"),
        (
            "a picture that is a list",
            TOML,
            b'{"input": "x", "output": "y", "image": []}',
            "the key image cannot be []",
        ),
    ]:
        files = {"t/task.toml": toml, "t/examples.jsonl": samples}
        yield Case(f"task: {name}", ["eval", "-T", "t"], 2, words, files=files)
    files = {"t/task.toml": TOML, "t/examples.jsonl": SAMPLE}
    ask = ["eval", "-q", "-T", "t", "--query"]
    words = "task t has no validation samples with text to choose the layer on; give --layer"
    yield Case("task: nothing to choose a layer on", [*ask, "text"], 2, words, files=files)
    yield Case("task: no samples file", ["eval", "-T", "t"], 3, "cannot be read", files={"t/task.toml": TOML})
    yield Case("task: not there", ["eval", "-T", "../nope"], 3, "unknown task '../nope'")
    yield Case("task: a name of 5,000 characters", ["eval", "-T", "a" * 5000], 3, "file name too long")


def catalogs() -> Iterator[Case]:
    head = b'description = "x"\nlicense = "x"\n'
    for name, toml, words in [
        ("nothing", b"", "expected one of the tables"),
        ("nested 100,000 deep", b"x = " + DEEP, "evil.toml: "),
        ("binary", b"\x00\xff", "evil.toml is not UTF-8 text (byte 1)"),
        ("an unknown key", head + b'wheels = 4\n[local]\ntext = "m.gguf"\n', "unknown key wheels"),
        ("a number for a file", head + b"[local]\ntext = 3\n", "the key text in the table local cannot be 3"),
        (
            "a package that is code",
            head + b'packages = { install = "i", parts = ["os; import x/f"] }\n[text]\nfile = "f"\n',
            "parts must be texts like 'package/path', not 'os; import x/f'",
        ),
    ]:
        yield Case(
            f"catalog: {name}",
            ["prompt", "-t", "x", "-m", "evil"],
            3,
            words,
            files={"c/evil.toml": toml},
            env={"TV_MODELS_DIR": "c"},
        )
    yield Case(
        "catalog: a name that leads elsewhere",
        ["prompt", "-t", "x", "-m", "../c/evil"],
        3,
        "",
        files={"c/evil.toml": head},
        env={"TV_MODELS_DIR": "c", "HF_HUB_OFFLINE": "1", "HF_HOME": "none"},
    )


def results() -> Iterator[Case]:
    resume = ["eval", "-q", "-T", "country-capital", "--query", "text", "--limit", "6", "--seeds", "1"]
    resume += ["--samples", "a.jsonl", "--resume"]
    head = json.dumps(results_head()).encode() + b"\n"
    record = {
        "task": "country-capital",
        "source": "",
        "query": "text",
        "method": "no context",
        "split": "test",
        "seed": 0,
        "sample": 0,
        "layer": None,
        "input": "x",
        "labels": ["y"],
        "answer": "z",
        "correct": False,
        "margin": 0.5,
    }
    for name, data, words in [
        ("a text", b"hello\n", "line 1: not a results file"),
        ("binary", bytes(range(256)) * 9 + b"\n", "line 1: not a results file"),
        ("nested 100,000 deep", DEEP + b"\n", "line 1: not a results file"),
        ("a list", b"[]\n", "line 1: not a results file"),
        ("of a later format", b'{"format": 99}\n', "results format 99"),
        ("a record of nothing", head + b"{}\n", "line 2: not a record"),
        ("a record nested deep", head + DEEP + b"\n", "line 2: not a record"),
        *(
            (f"{key} = {value!r}", head + json.dumps({**record, key: value}).encode() + b"\n", "line 2: not a record")
            for key, value in [("sample", []), ("layer", {}), ("labels", "y"), ("correct", "yes"), ("margin", None)]
        ),
    ]:
        yield Case(f"results: {name}", resume, 2, words, files={"a.jsonl": data})
    yield Case("results: a folder", resume, 3, "it is not a regular file", files={"a.jsonl/x": b""})
    elsewhere = [*resume[:-2], "/dev/zero", "--resume"]
    yield Case("results: a device", elsewhere, 3, "/dev/zero")


def results_head() -> dict[str, Any]:
    """The first line of the results file that `results` resume, as tv writes it (`experiments.run.run`)."""
    setup = Setup(
        (find_task("country-capital"),), transfers=(Transfer(Source.TEXT, Modality.TEXT),), seeds=(1,), limit=6
    )
    return {"format": FORMAT, **FakeEngine().identity, "tv": tv_version(), "source_model": None, **setup.to_json()}


def zipped(members: Mapping[str, bytes | str], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data, **options)
    return buffer.getvalue()


def archives() -> Iterator[Case]:
    pull = ["tasks", "pull", "--annotations", "a.zip", "--images", "i.zip", "-o", "tasks"]

    def case(name: str, annotations: bytes, images: bytes, code: int, words: str) -> Case:
        return Case(f"archive: {name}", pull, code, words, files={"a.zip": annotations, "i.zip": images})

    def sample(image: str) -> bytes:
        return zipped({"t_test.json": json.dumps([{"input": "x", "image": image, "output": "y"}])})

    bomb = zipped({"t_test.json": b" " * 80_000_000})
    none = zipped({})
    yield case("no archive", b"PK", none, 3, "cannot be converted")
    yield case("80 MB of blanks in 80 kB", bomb, none, 2, "unpacks to more than 64 MiB")
    encrypted = bytearray(zipped({"t_test.json": "[]"}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(mark) + offset] |= 1
    yield case("encrypted", bytes(encrypted), none, 3, "cannot be converted")
    torn = bytearray(zipped({"t_test.json": json.dumps(["x" * 999])}))
    torn[50:60] = b"\xff" * 10
    yield case("torn", bytes(torn), none, 3, "cannot be converted")
    strange = bytearray(zipped({"t_test.json": "[]"}))
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        strange[strange.index(mark) + offset] = 99
    yield case("an unknown compression", bytes(strange), none, 3, "cannot be converted")
    yield case("JSON nested deep", zipped({"t_test.json": DEEP}), none, 2, "not JSON")
    for image in ("../../evil.png", "/tmp/evil.png", "a/../../evil.png", "C:\\evil.png", "a\0b.png", "\x1b[2J.png"):
        yield case(f"a picture at {image!r}", sample(image), zipped({image: b"x"}), 2, "points outside the folder")
    big = zipped({"e.png": bytes(70_000_000)})
    yield Case(
        "archive: a picture of 70 MB in 70 kB",
        pull,
        2,
        "unpacks to more than 64 MiB",
        files={"a.zip": sample("e.png"), "i.zip": big},
    )


# -- arguments and environment ------------------------------------------------------------------------------


def data_sets() -> Iterator[Case]:
    """Files of ``tv tasks import``, one item of which is hostile."""
    vqav2 = ["tasks", "import", "vqav2", "q.json", "a.json", ".", "--ask", "-o", "task"]
    question = b'{"questions": [{"question_id": 1, "image_id": 1, "question": "What?"}]}'
    for name, asked, answered, words in [
        ("nested 100,000 deep", question, DEEP, "a.json: not JSON (nested too deeply)"),
        ("binary", question, bytes(range(256)), "a.json is not UTF-8 text"),
        ("a text", question, b'"x"', "a.json: expected a JSON list under the key annotations"),
        ("a list of numbers", question, b'{"annotations": [1]}', "a.json, item 1: expected a JSON object, not 1"),
        ("a number of 9,999 digits", question, b'{"annotations": [' + b"9" * 9999 + b"]}", "a.json: not JSON"),
        ("no annotation", question, b'{"annotations": []}', "q.json, item 1: the question 1 has no annotation"),
    ]:
        yield Case(f"annotations: {name}", vqav2, 2, words, files={"q.json": asked, "a.json": answered})
    there = {"q.json": question, "a.json": b'{"annotations": []}'}
    yield Case("annotations: a device", [*vqav2[:4], "/dev/zero", *vqav2[5:]], 3, "larger than 512 MiB", files=there)
    yield Case("annotations: not there", [*vqav2[:4], "none", *vqav2[5:]], 3, "cannot be read", files=there)


def arguments() -> Iterator[Case]:
    read, ask = ["extract", "-e", "-", "-o", "v.npy"], ["apply", "-", "-t", "x"]
    for name, given, stdin, code, words in [
        ("nothing to read from", ["extract", "-o", "v.npy"], b"", 2, "nothing to read a task from"),
        ("no output", ["extract", "-e", "-"], PAIRS, 2, "Missing option"),
        (
            "an output in no folder",
            ["extract", "-e", "-", "-o", "no/v.npy"],
            PAIRS,
            2,
            "the folder of no/v.npy does not",
        ),
        ("an output in /proc", ["extract", "-e", "-", "-o", "/proc/v.npy"], PAIRS, 3, "/proc/v.npy cannot be written"),
        ("an output for which the disk is full", ["extract", "-e", "-", "-o", "/dev/full"], PAIRS, 3, "no space left"),
        ("1 shot", [*read, "--shots", "1"], PAIRS, 2, "--shots"),
        ("0 prompts", [*read, "--prompts", "0"], PAIRS, 2, "--prompts"),
        ("a billion prompts", [*read, "--prompts", "1000000000"], PAIRS, 2, "--prompts"),
        ("a seed of 5,000 digits", [*read, "--seed", "9" * 5000], PAIRS, 2, "--seed"),
        ("an empty instruction", ["extract", "--instruction", " : ", "-o", "v.npy"], b"", 2, "instruction is empty"),
        (
            "layers without examples",
            ["extract", "--instruction", "x", "--select-layer", "-o", "v.npy"],
            b"",
            2,
            "--select-layer needs",
        ),
        (
            "two vectors into one pipe",
            ["extract", "--instruction", "x", "-e", "-", "-o", "-"],
            PAIRS,
            2,
            "cannot both go to stdout",
        ),
        ("nothing to ask", ["apply", "-"], GOOD, 2, "no queries: give"),
        ("an empty query", ["apply", "-", "-t", " "], GOOD, 2, "--text is empty"),
        ("a query too long", ["apply", "-", "-t", "word " * 5000], GOOD, 2, "does not fit the context"),
        ("layer 6 of 6", [*ask, "-l", "6"], GOOD, 2, "--layer 6 is outside 0 to 5"),
        ("layer -1", [*ask, "-l", "-1"], GOOD, 2, "--layer -1 is outside 0 to 5"),
        ("layer 10¹⁰⁰⁰⁰", [*ask, "-l", "1" + "0" * 10000], GOOD, 2, "--layer"),
        ("layer nan", [*ask, "-l", "nan"], GOOD, 2, "--layer must be a number"),
        ("0 tokens", [*ask, "-n", "0"], GOOD, 2, "--max-tokens"),
        ("0 threads", [*ask, "--threads", "0"], GOOD, 2, "--threads"),
        ("a trillion threads", [*ask, "--threads", str(10**12)], GOOD, 2, "--threads"),
        ("a context of 2⁶⁴", [*ask, "--context", str(1 << 64)], GOOD, 2, "--context"),
        ("-1 layers on the GPU", [*ask, "--gpu-layers", "-1"], GOOD, 2, "--gpu-layers"),
        ("weights that are none", ["combine", "-", "-w", "nan", "-o", "v.npy"], GOOD, 2, "weight"),
        ("an infinite weight", ["combine", "-", "-w", "1e999", "-o", "v.npy"], GOOD, 2, "weight"),
        (
            "seeds that are none",
            ["eval", "-T", "country-capital", "--seeds", "1,x"],
            b"",
            2,
            "--seeds must be comma-separated integers",
        ),
        ("a picture of no kind", ["compare", "-", "--plot", "p.exe"], GOOD, 2, ".png, .svg"),
        ("no such command", ["nope"], b"", 2, "No such command"),
        ("escapes for a command", ["\x1b[2J"], b"", 2, "\\x1b[2J"),
        ("no such option", ["apply", "--nope"], b"", 2, "No such option"),
    ]:
        yield Case(f"arguments: {name}", given, code, words, stdin)


def environments() -> Iterator[Case]:
    ask = ["prompt", "-t", "x"]
    hub = [*ask, "-m", "owner/repo"]
    nowhere = {"HF_HOME": "hf", "HF_TOKEN": "hf_" + "s" * 30}
    for name, given, env, code, words in [
        ("TV_MODEL with escapes", ask, {"TV_MODEL": "\x1b[2J"}, 3, "\\x1b[2J"),
        ("TV_MODEL a folder", ask, {"TV_MODEL": "/"}, 3, "is a directory"),
        ("TV_MODELS_DIR a device", [*ask, "-m", "x"], {"TV_MODELS_DIR": "/dev/null"}, 3, "unknown model 'x'"),
        ("HF_ENDPOINT that is no address", hub, {**nowhere, "HF_ENDPOINT": "nonsense"}, 3, ""),
        ("HF_ENDPOINT that nobody answers", hub, {**nowhere, "HF_ENDPOINT": "http://127.0.0.1:9"}, 3, ""),
        ("HF_HUB_OFFLINE", hub, {**nowhere, "HF_HUB_OFFLINE": "1"}, 3, "owner/repo"),
    ]:
        yield Case(f"environment: {name}", given, code, words, env=env)


CASES = [
    case
    for kind in (
        *(pairs, queries, vectors, pictures, model_headers, model_contents, towers, past_the_check),
        *(tasks, catalogs, results, archives, data_sets, arguments, environments),
    )
    for case in kind()
]


def run(case: Case, folder: Path) -> tuple[subprocess.CompletedProcess[bytes], float]:
    """In a process of its own; the seconds it took."""
    case.write_files(folder)
    here = {"PYTHONPATH": str(Path(__file__).parent.parent), "HOME": str(folder / "home")}
    environment = {**os.environ, **here, "TV_MODEL": "fake", **case.env}
    command = [sys.executable, "-m", "tvcli", *case.arguments]
    started = time.monotonic()
    ran = subprocess.run(command, input=case.stdin, capture_output=True, cwd=folder, env=environment, timeout=120)
    return ran, time.monotonic() - started


def main() -> int:
    wrong = 0
    for number, case in enumerate(CASES, 1):
        with tempfile.TemporaryDirectory() as folder:
            ran, seconds = run(case, Path(folder))
        *_, sentence = ran.stderr.decode("utf-8", "replace").splitlines() or [""]
        wrong += ran.returncode != case.code
        print(f"{number:3} {case.name[:60]:60} {ran.returncode} {seconds:4.1f} s  {sentence[:150]}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(f"{len(CASES)} inputs, {wrong} with another exit code; the largest process took {peak} MiB")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
