"""What tv says of the pinned llama.cpp is in its sources: `abi.h` and `pinned.py`, declaration by declaration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from source_package import NoSourcesError, sources

from tvcli.engine.gguf.repair import CLASS_FIRST, FEATURE_LAYER, LLAVA
from tvcli.engine.native import pinned
from tvcli.engine.native.declarations import declarations
from tvcli.engine.native.library import HEADER

pytestmark = pytest.mark.source
MACROS = re.compile(r"\b(?:LLAMA_API|GGML_API|GGML_BACKEND_API|MTMD_API|GGML_ATTRIBUTE_FORMAT\([^)]*\))\s")
PREFIX = "ggml_tensor"  # a structure of which abi.h has the first members only
FACT = re.compile(r"^(\w+) = (.+?)  # (\S+\.(?:h|c|cpp)): (\w+)", re.MULTILINE)


@pytest.fixture(scope="module")
def files() -> Mapping[str, str]:
    try:
        return sources()
    except NoSourcesError as error:
        pytest.skip(f"no source package: {error}")


def plain(text: str) -> str:
    """C without comments, macros for symbols, and differences of white space."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
    return re.sub(r"\s*([*(),;{}\[\]])\s*", r"\1", " ".join(MACROS.sub(" ", text).split()))


def declared() -> Iterator[tuple[str, str]]:
    """Every statement of abi.h, with the header that it comes from; what only other releases have is left out."""
    text = re.sub(r"^#ifdef.*?^#endif\n", "", HEADER.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for section in re.split(r"(?=^/\* \w+/)", text, flags=re.MULTILINE)[1:]:
        [path] = re.findall(r"^/\* (\S+\.(?:h|cpp))", section)
        body = re.sub(r"^#define .*$", "", re.sub(r"/\*.*?\*/", "", section, flags=re.DOTALL), flags=re.MULTILINE)
        for statement in re.findall(r"[^;{}]*(?:\{[^}]*\})?\s*;", body):
            yield path, plain(statement)


def test_every_declaration_is_in_the_header_that_is_named(files: Mapping[str, str]) -> None:
    seen = 0
    for path, statement in declared():
        text = plain(files[path])
        if f"struct {PREFIX}{{" in statement:
            statement = statement.removesuffix("};")
        elif "struct{" not in statement and statement.startswith("struct ") and "{" in statement:
            statement = statement.removesuffix(";")  # some are typedefs
        assert statement in text, f"{path} does not say: {statement}"
        seen += 1
    found = declarations(HEADER.read_text("utf-8"))
    assert seen > len(found.functions) > 60


def test_the_defines_are_the_headers(files: Mapping[str, str]) -> None:
    for name, value in declarations(HEADER.read_text("utf-8")).constants.items():
        assert re.search(rf"#define\s+{name}\s+{value}\b", files["ggml/include/ggml.h"])


def enumeration(text: str, symbol: str) -> int | None:
    """The value of an enumerator: as written, or counted on from the last one that was."""
    for body in re.findall(
        r"enum \w*\s*\{(.*?)\}", re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL), re.DOTALL
    ):
        value = -1
        for member in filter(None, map(str.strip, body.split(","))):
            name, _, given = (part.strip() for part in member.partition("="))
            value = int(given, 0) if re.fullmatch(r"-?\w+", given) and given.lstrip("-").isdigit() else value + 1
            if name == symbol:
                return value
    return None


def value_in(text: str, symbol: str) -> int | None:
    found = re.search(rf"(?:#\s*define\s+{symbol}|\b{symbol}\s*=)\s*(-?\d+)\b", text)
    return int(found[1]) if found else enumeration(text, symbol)


def test_every_number_is_what_its_symbol_is(files: Mapping[str, str]) -> None:
    facts = FACT.findall(Path(pinned.__file__).read_text("utf-8"))
    numbers = [fact for fact in facts if fact[1].lstrip("-").isdigit()]
    assert len(numbers) >= 20
    for name, value, path, symbol in numbers:
        assert value_in(files[path], symbol) == int(value), f"{name}: {path} says otherwise of {symbol}"


def defaults(text: str, function: str, separator: str) -> dict[str, str]:
    """The members that a function of default parameters sets, as written: /*.name =*/ value, or /* name */ value."""
    body = text[text.index(f"{function}() {{") :]
    return dict(re.findall(rf"/\* ?\.?(\w+) *{separator}\*/ *([^,\n]+?),", body[: body.index("\n}")]))


SYMBOLS = {"nullptr": 0, "false": False, "true": True, "mtmd_default_marker()": b"<__media__>"}


@pytest.mark.parametrize(
    ("path", "function", "separator", "kind", "expected"),
    [
        ("src/llama-model.cpp", "llama_model_default_params", "=", "llama_model_params", pinned.MODEL_DEFAULTS),
        ("src/llama-context.cpp", "llama_context_default_params", "=", "llama_context_params", pinned.CONTEXT_DEFAULTS),
        ("tools/mtmd/mtmd.cpp", "mtmd_context_params_default", "", "mtmd_context_params", pinned.VISION_DEFAULTS),
    ],
)
def test_the_default_parameters_are_the_sources(
    files: Mapping[str, str], path: str, function: str, separator: str, kind: str, expected: Mapping[str, Any]
) -> None:
    written = defaults(files[path], function, separator)
    members = [name for name, _ in declarations(HEADER.read_text("utf-8")).types[kind]._fields_]
    assert len(written) == len(members)
    for member, value in zip(members, written.values(), strict=True):  # the sources' own names differ for two
        symbols = {
            **SYMBOLS,
            "GGML_DEFAULT_N_THREADS": value_in(files["ggml/include/ggml.h"], "GGML_DEFAULT_N_THREADS"),
        }
        enums = enumeration(files["include/llama.h"], value), enumeration(files["ggml/include/ggml.h"], value)
        known = symbols.get(value, next((found for found in enums if found is not None), None))
        assert (float(value.rstrip("f")) if known is None else known) == expected.get(member, 0), member
    assert set(expected) <= set(members)


def test_the_names_are_the_sources(files: Mapping[str, str]) -> None:
    assert f'cb(cur, "{pinned.RESIDUAL}", il)' in files["src/models/llama.cpp"]
    amx = files["ggml/src/ggml-cpu/amx/amx.cpp"]
    assert re.search(rf'ggml_backend_amx_buffer_type_get_name\(.*?return "{pinned.AMX_BUFFERS}";', amx, re.DOTALL)
    operations = files["ggml/src/ggml.c"].partition("GGML_OP_NAME[GGML_OP_COUNT] = {")[2].partition("};")[0]
    used = (*pinned.OPERATIONS, pinned.SCALE, pinned.NO_OPERATION)
    assert {name.decode() for name in used} <= set(re.findall(r'"(\w+)"', operations))
    assert f'ggml_format_name(node, "{pinned.UNNAMED.decode()}%d"' in files["ggml/src/ggml.c"]
    tower = files["tools/mtmd/clip-impl.h"]
    assert re.search(rf'TN_CLASS_EMBD\s+"{pinned.CLASS_TOKEN.decode()}"', tower)
    assert re.search(rf'TN_POS_EMBD\s+"%s{pinned.POSITIONS.decode().removeprefix("v")}"', tower)
    copy = pinned.COPY.decode().join(("%s", "%s", "%d"))
    assert f'ggml_format_name(tensor_copy, "{copy}", ggml_backend_name' in files["ggml/src/ggml-backend.cpp"]
    table = files["src/llama-model.cpp"].partition("LLAMA_ROPE_SCALING_TYPES = {")[2].partition("};")[0]
    assert set(re.findall(r'"(\w+)"', table)) == pinned.ROPE_SCALINGS


def test_the_image_encoders_with_a_class_token_are_those_that_repair_knows(files: Mapping[str, str]) -> None:
    """Which graphs put the class token behind the patches, and how the blocks of LLaVA's are counted."""
    behind = {
        Path(path).stem
        for path, text in files.items()
        if path.startswith("tools/mtmd/models/")
        and re.search(r"ggml_concat\(ctx0, inp, (?:model\.class_embedding|cls_repeated), 1\)", text)
    }
    assert behind == {"llava", "internvl", "llama4", "cogvlm"}
    assert "int il_last = hparams.n_layer - 1;" in files["tools/mtmd/models/llava.cpp"]
    projectors = dict(re.findall(r'\{ PROJECTOR_TYPE_(\w+),\s*"(\w+)"\s*\}', files["tools/mtmd/clip-impl.h"]))
    assert {projectors[name] for name in ("MLP", "LDP", "LDPV2")} == LLAVA
    assert {projectors["INTERNVL"]} == CLASS_FIRST - LLAVA
    assert f'"{FEATURE_LAYER.replace("vision", "%s")}"' in files["tools/mtmd/clip-impl.h"]


def test_the_list_of_extra_buffers_lies_in_memory_that_can_be_written(files: Mapping[str, str]) -> None:
    """What `kernels.leave_out_amx` relies on: a vector of its own that ends in NULL, AMX among them."""
    text = plain(files["ggml/src/ggml-cpu/ggml-cpu.cpp"])
    function = text.partition("ggml_backend_cpu_device_get_extra_buffers_type(")[2][:500]
    assert "static std::vector<ggml_backend_buffer_type_t>extra_bufts" in function.replace("> ", ">")
    assert "bufts.push_back(nullptr);" in function
    assert "return extra_bufts.data();" in function
    assert '"ggml_backend_dev_get_extra_bufts"' in text


def test_types_without_a_product_have_none(files: Mapping[str, str]) -> None:
    text = files["ggml/src/ggml-cpu/ggml-cpu.c"]
    table = text.partition("type_traits_cpu[GGML_TYPE_COUNT] = {")[2].partition("\n};")[0]
    entries = dict(re.findall(r"\[GGML_TYPE_(\w+)\]\s*= \{(.*?)\}", table, re.DOTALL))
    multiplied = {name for name, entry in entries.items() if ".vec_dot " in entry}
    assert not multiplied & set(pinned.NO_PRODUCT)
    assert {"F32", "F16", "Q4_K", "Q8_0"} <= multiplied


def test_the_keys_of_an_mmproj_are_read_with_these_types(files: Mapping[str, str]) -> None:
    """Each key of the table is a KEY_ macro of clip-impl.h, which clip.cpp gives to the getter of that type."""
    macros = dict(re.findall(r'#define (KEY_\w+)\s+"([^"]+)"', files["tools/mtmd/clip-impl.h"]))
    getters: dict[str, set[str]] = {}
    for getter, argument in re.findall(
        r"\bget_(u32|i32|f32|bool|string)\(\s*(?:string_format\()?(\w+|\"[^\"]+\")", files["tools/mtmd/clip.cpp"]
    ):
        key = macros.get(argument, argument.strip('"'))
        for tower in ("vision", "audio") if "%s" in key else ("",):
            getters.setdefault(key.replace("%s", tower), set()).add(getter)
    for kind, keys in {
        "u32": pinned.VISION_U32,
        "i32": pinned.VISION_I32,
        "f32": pinned.VISION_F32,
        "bool": pinned.VISION_BOOL,
        "string": pinned.VISION_TEXT,
    }.items():
        wrong = {key: getters[key] for key in keys if key in getters and kind not in getters[key]}
        assert not wrong
        unknown = [key for key in keys if key not in getters and not key.startswith("general.")]
        assert not unknown, kind


def architectures(files: Mapping[str, str], graphs: set[str]) -> set[str]:
    """The names, as in general.architecture, of what files in src/models compute: glm4-moe.cpp is GLM4_MOE."""
    names = dict(re.findall(r'\{ LLM_ARCH_(\w+),\s*"([^"]+)"', files["src/llama-arch.cpp"]))
    return {names[Path(graph).stem.replace("-", "_").upper()] for graph in graphs}


def test_every_model_that_aborts_on_embeddings_is_known(files: Mapping[str, str]) -> None:
    aborting = re.compile(
        r'if \(ubatch\.embd[^)]*\) \{[^}]*GGML_ABORT|GGML_ASSERT\(ubatch\.token && "[^"]*requires token input'
    )
    graphs = {path for path, text in files.items() if path.startswith("src/models/") and aborting.search(text)}
    drafts = {path for path in graphs if "MTP requires" in aborting.findall(files[path])[0]}  # which tv does not run
    assert architectures(files, graphs - drafts) == pinned.ONLY_TOKENS


def test_every_model_whose_image_tokens_may_attend_both_ways_is_known(files: Mapping[str, str]) -> None:
    function = files["tools/mtmd/mtmd.cpp"].partition("bool mtmd_decode_use_non_causal(")[2].partition("\n}")[0]
    projectors = set(re.findall(r"case PROJECTOR_TYPE_(\w+):", function))
    assert projectors == {"GEMMA3", "GEMMA4V", "GEMMA4UV", "DEEPSEEK4V"}
    assert {re.sub("U?V$", "", name).lower() for name in projectors} == pinned.BOTH_WAYS


def test_every_marker_of_mtmd_is_recognized(files: Mapping[str, str]) -> None:
    found = set(re.findall(r'img_(?:beg|end)\s*=\s*"([^"\\]+)"', files["tools/mtmd/mtmd.cpp"]))
    assert len(found) > 10
    assert not {marker for marker in found if not pinned.MARKER.search(marker)}


def test_the_pin_is_the_projects() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'"{pinned.PINNED.package}=={pinned.PINNED.package_version}"' in project
