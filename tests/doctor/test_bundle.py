"""`tv doctor --bundle`: a file that says all of a model and of the checks, and nothing of whose they are."""

from __future__ import annotations

import getpass
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import patched_library
import pytest
import tiny_gguf
from conftest import Ran, Runner
from native_process import tv as tv_process
from patched_library import patchable
from random_models import FAMILIES
from tiny_gguf import ARRAY, F32, STRING, U32

from tvcli.doctor.bundle import as_text, bundle
from tvcli.doctor.checks import CHECKS, Check
from tvcli.engine.gguf.checks import gguf_digest
from tvcli.models.catalog import register
from tvcli.models.opening import ModelRequest

# what must not be in a bundle, by where it stands
AUTHOR, URL, NAME = "Joanna Q. Public", "https://people.example/~joanna", "Joannas Finetune"
USER, HOST, TOKEN = "jqpublic", "joannas-laptop", "hf_abcdefghijklmnopqrstuv"
FOLDER, FILE, VALUE = "client Acme", "acme-secret-tune", "acme-internal-value"
PRIVATE = (AUTHOR, URL, NAME, USER, HOST, TOKEN, FOLDER, FILE, VALUE, "joanna", "public", "acme")
GENERAL = {
    "general__author": (STRING, AUTHOR),
    "general__url": (STRING, URL),
    "general__name": (STRING, NAME),
    "general__description": (STRING, f"made by {AUTHOR} on {HOST}"),
    "general__tags": (ARRAY, STRING, [USER]),
    "tokenizer__chat_template": (STRING, f"{{# by {AUTHOR} #}}{{{{ messages }}}}"),
    "llama__trained_by": (STRING, AUTHOR),
    "acme__batch": (U32, 7),
}


@pytest.fixture
def owned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model of somebody, on the machine of somebody."""
    home = tmp_path / USER
    folder = home / FOLDER
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("ACME_SETTING", VALUE)
    monkeypatch.setenv("TV_MODELS_DIR", str(tmp_path / "entries"))
    monkeypatch.setattr(getpass, "getuser", lambda: USER)
    monkeypatch.setattr(platform, "node", lambda: f"{HOST}.acme.example")
    monkeypatch.chdir(folder)
    (folder / f"{FILE}.gguf").write_bytes(bytes(tiny_gguf.model().with_keys(**GENERAL)))
    eyes = tiny_gguf.vision().with_keys(general__name=(STRING, NAME), general__description=(STRING, AUTHOR))
    (folder / f"mmproj-{FILE}.gguf").write_bytes(bytes(eyes))
    return folder


def written(path: Path) -> Any:
    """The bundle, which says nothing of whose it is."""
    text = path.read_text("utf-8")
    assert [word for word in PRIVATE if word.lower() in text.lower()] == []
    assert str(path.parent) not in text
    return json.loads(text)


def reported(tv: Runner, folder: Path, *arguments: object) -> tuple[Ran, Any]:
    ran = tv("doctor", *arguments, "--bundle", folder.parent / "report.json")
    return ran, written(folder.parent / "report.json")


# -- what is in it --------------------------------------------------------------------------------------------


def test_the_model_without_weights_has_all_but_files_and_a_log(tv: Runner, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    plain, ran = tv("doctor"), tv("doctor", "--bundle", path)
    assert (ran.code, ran.err) == (0, f"wrote {path}, for a bug report; read it before you attach it\n")
    assert [line for line in ran.out.splitlines() if "tokens/s" not in line and "memory" not in line] == [
        line for line in plain.out.splitlines() if "tokens/s" not in line and "memory" not in line
    ]
    record = written(path)
    assert list(record) == [
        *("bundle", "verdict", "versions", "system", "processor", "llama.cpp", "kernels", "features", "memory"),
        *("free memory", "devices", "model", "checks", "speed", "files", "log"),
    ]
    assert (record["bundle"], record["files"], record["log"]) == (1, [], [])
    assert record["verdict"] == f"healthy, all {1 + 2 * len(CHECKS)} checks passed"
    assert [check["name"] for check in record["checks"]][1:7] == [f"text: {name}" for name in CHECKS]
    assert record["checks"][1] == {"name": f"text: {next(iter(CHECKS))}", "healthy": True, "detail": "6 layers × 16"}
    assert record["model"]["from"] == "fake, the model without weights"
    assert record["model"]["layers"] == 6
    assert record["model"]["queries"]["text"].startswith("'Q':7 ':':7 'Greece':")
    assert {"tv", "python", "numpy"} <= set(record["versions"])
    assert record["speed"]["prompt_tokens"] == 5


def test_json_and_quiet_are_as_without_a_bundle(tv: Runner, tmp_path: Path) -> None:
    ran = tv("doctor", "--json", "-q", "--bundle", tmp_path / "report.json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["healthy"]
    assert written(tmp_path / "report.json")["bundle"] == 1


def test_a_loaded_model_is_described_and_its_owner_is_not(tv: Runner, owned: Path) -> None:
    model, eyes = owned / f"{FILE}.gguf", owned / f"mmproj-{FILE}.gguf"
    ran, record = reported(tv, owned, model, "--mmproj", eyes.name, "--threads", 1)
    assert ran.code == 0
    assert record["model"]["from"] == "a file"
    assert record["model"]["settings"]["threads"] == 1
    assert record["model"]["vision"] is True
    text, vision = record["files"]
    assert (text["kind"], text["parts"], text["bytes"]) == ("model", 1, model.stat().st_size)
    assert text["digest"] == record["model"]["digest"] == gguf_digest([model])
    assert (vision["kind"], vision["digest"]) == ("mmproj", gguf_digest([eyes]))
    assert text["metadata"]["llama.embedding_length"] == tiny_gguf.WIDTH
    assert text["metadata"]["general.architecture"] == "llama"
    assert text["metadata"]["tokenizer.ggml.tokens"] == f"{len(tiny_gguf.TOKENS)} of string"
    assert text["other keys"] == len(GENERAL)
    assert set(text["chat template"]) == {"bytes", "sha256"}
    assert text["tensors"]["blk.*.ffn_up.weight"] == "32 × 64, F32, layers 0-1"
    assert vision["metadata"]["clip.projector_type"] == "gemma3"
    assert vision["metadata"]["clip.vision.image_mean"] == [0.5, 0.5, 0.5]
    assert vision["tensors"]["v.patch_embd.weight"] == "16 × 16 × 3 × 16, F32"
    assert any("CPU KV buffer size" in line for line in record["log"])
    assert not [line for line in record["log"] if "general." in line or " kv " in line]


@pytest.mark.parametrize("name", ["lfm2vl", "jamba", "qwen3moe"])
def test_any_architecture_is_described_from_its_files_alone(tmp_path: Path, name: str) -> None:
    files = FAMILIES[name]().write(tmp_path)
    record = json.loads(as_text(bundle(ModelRequest(str(files.text), files.vision), [])))
    assert [file["kind"] for file in record["files"]] == ["model", "mmproj"][: 1 + (files.vision is not None)]
    architecture = record["files"][0]["metadata"]["general.architecture"]
    assert record["files"][0]["metadata"][f"{architecture}.block_count"] == 4
    assert any(tensor.startswith("blk.*.") for tensor in record["files"][0]["tensors"])
    assert not [tensor for tensor in record["files"][0]["tensors"] if tensor.startswith("blk.0.")]
    if name == "jamba":  # a list with a number per layer; attention in some layers only
        assert record["files"][0]["metadata"]["jamba.attention.head_count_kv"] == [0, 2, 0, 0]
        assert record["files"][0]["tensors"]["blk.*.attn_q.weight"].endswith("layers 1")
        assert record["files"][0]["tensors"]["blk.*.ssm_in.weight"].endswith("layers 0, 2-3")


def test_all_parts_of_a_split_file_count(tmp_path: Path) -> None:
    parts = [tmp_path / f"m-0000{number}-of-00002.gguf" for number in (1, 2)]
    whole = tiny_gguf.model()
    for number, path in enumerate(parts):
        tensors = whole.tensors[:3] if number == 0 else whole.tensors[3:]
        keys = {"split.no": (tiny_gguf.U16, number), "split.count": (tiny_gguf.U16, 2)}
        path.write_bytes(bytes(tiny_gguf.File({**whole.keys, **keys}, tensors)))
    [file] = json.loads(as_text(bundle(ModelRequest(str(parts[0])), [])))["files"]
    assert file["parts"] == 2
    assert file["bytes"] == sum(part.stat().st_size for part in parts)
    assert file["tensors"]["blk.*.attn_q.weight"] == "32 × 32, F32, layers 0-1"
    assert file["metadata"]["split.count"] == 2


def test_numbers_that_json_does_not_have_are_words(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    keys = {"llama__rope__freq_base": (F32, np.inf), "llama__rope__scaling__type": (STRING, "yarn")}
    path.write_bytes(bytes(tiny_gguf.model().with_keys(**keys)))
    metadata = json.loads(as_text(bundle(ModelRequest(str(path)), [])))["files"][0]["metadata"]
    assert metadata["llama.rope.freq_base"] == "inf"
    assert metadata["llama.rope.scaling.type"] == "yarn"


# -- what is not in it ----------------------------------------------------------------------------------------


def test_words_of_a_file_are_shown_under_few_keys_and_only_if_they_are_words(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    keys = {
        "tokenizer__ggml__pre": (STRING, f"made by {AUTHOR}"),
        "llama__note": (STRING, "plain"),
        "llama__Joanna Q. Public": (U32, 1),
        "general__file_type": (U32, 15),
    }
    tensors = [*tiny_gguf.model().tensors, tiny_gguf.Tensor(f"by {AUTHOR}", (32,))]
    path.write_bytes(bytes(tiny_gguf.File(tiny_gguf.model().with_keys(**keys).keys, tensors)))
    text = as_text(bundle(ModelRequest(str(path)), []))
    assert "joanna" not in text.lower()
    [file] = json.loads(text)["files"]
    assert file["metadata"]["tokenizer.ggml.pre"] == "…"
    assert file["metadata"]["general.file_type"] == 15
    assert "llama.note" not in file["metadata"]
    assert file["tensors"]["…"] == "32, F32"


@pytest.mark.parametrize("kind", ["cut", "none", "key"])
def test_a_file_that_does_not_load_is_reported_without_its_name(tv: Runner, owned: Path, kind: str) -> None:
    model = owned / f"{FILE}-{kind}.gguf"
    if kind == "cut":
        model.write_bytes((owned / f"{FILE}.gguf").read_bytes()[:700])
    elif kind == "key":
        twice = tiny_gguf.entry(f"by {AUTHOR}", (U32, 1))
        keys = dict(tiny_gguf.model().keys)
        file = tiny_gguf.File(keys, tiny_gguf.model().tensors, n_keys=len(keys) + 2, extra_keys=twice * 2)
        model.write_bytes(bytes(file))
    ran, record = reported(tv, owned, "-m", model)
    assert ran.code == 3
    [check] = record["checks"]
    assert not check["healthy"]
    if kind == "none":
        assert "cannot be read: no such file" in check["detail"]
        assert record["files"] == []
    else:
        [file] = record["files"]
        assert ("is truncated" if kind == "cut" else "has the key '…' twice") in file["problem"]
        assert (file["kind"], file["bytes"]) == ("unknown", model.stat().st_size)
        assert file["digest"] == gguf_digest([model])


def test_an_unknown_name_and_an_own_entry_are_not_named(tv: Runner, owned: Path) -> None:
    ran, record = reported(tv, owned, "-m", FILE)
    assert ran.code == 3
    assert record["model"]["from"] == "an unknown name"
    register(f"{FILE}-entry", owned / "gone.gguf", None)
    ran, record = reported(tv, owned, "-m", f"{FILE}-entry")
    assert record["model"]["from"] == "a file"


def test_a_name_is_given_if_it_is_public(owned: Path) -> None:
    for name, said in [
        ("picto", "the catalog: picto"),
        ("unsloth/Qwen3.5-4B-GGUF:UD-Q4_K_XL", "the hub: unsloth/Qwen3.5-4B-GGUF:UD-Q4_K_XL"),
        (f"{USER}/{FILE}", "a repository on the hub"),
    ]:
        assert json.loads(as_text(bundle(ModelRequest(name), [])))["model"]["from"] == said


def test_errors_and_log_are_masked(owned: Path) -> None:
    said = f"no /srv/{VALUE}/x of {AUTHOR}, see {URL} or a.b@c.example at 10.0.0.2:50052 with {TOKEN}"
    log = [
        f"llama_model_loader: loaded from {owned}/{FILE}.gguf",
        "llama_model_loader: - kv   2: general.name str = x",
        f"clip_model_loader: model name: {NAME}",
        "/build/ggml/src/ggml.c:123: GGML_ASSERT(x) failed",
        "....",
        "again",
        "between",
        "again",
    ]
    record = bundle(ModelRequest(str(owned / f"{FILE}.gguf")), [Check("loads", False, said)], log)
    text = as_text(record)
    assert [word for word in (*PRIVATE, "10.0.0.2", "a.b@c") if word.lower() in text.lower()] == []
    assert record["checks"] == [
        {"name": "loads", "healthy": False, "detail": "no … of …, see … or … at … with …"},
    ]
    assert record["log"] == [
        "llama_model_loader: loaded from …",
        "…/ggml.c:123: GGML_ASSERT(x) failed",
        "between",
        "again",
    ]


# -- a crash --------------------------------------------------------------------------------------------------


@patchable
def test_a_crash_can_be_reported_with_the_log_before_it(tmp_path: Path, random_model: Path) -> None:
    folder = patched_library.folder_with(tmp_path, "llama", patched_library.crashing("llama", "llama_decode"))
    path = tmp_path / "report.json"
    ran = tv_process("doctor", random_model, "--bundle", path, TV_LLAMA_LIB=folder)
    assert ran.returncode == 1
    text = path.read_text("utf-8")
    assert str(tmp_path) not in text
    assert str(random_model.parent) not in text
    record = json.loads(text)
    [check] = record["checks"]
    assert "SIGILL" in check["detail"]
    assert "that this processor does not support" in record["verdict"]
    assert record["llama.cpp"].startswith("llama.cpp ")
    assert record["files"][0]["metadata"]["general.architecture"] == "llama"
    assert any(line.startswith("llama_kv_cache: size =") for line in record["log"])


# -- its arguments --------------------------------------------------------------------------------------------


def test_a_bundle_is_refused_before_the_work(tv: Runner, owned: Path) -> None:
    model = f"{FILE}.gguf"
    for arguments, code, said in [
        (["--bundle", "-"], 2, "--bundle cannot be standard output; name a file or folder"),
        (["--bundle", "."], 3, ". cannot be written: is a directory"),
        (["--bundle", "no/report.json"], 2, "the folder of no/report.json does not exist"),
        (["-m", model, "--bundle", model], 2, f"the output {model} is also an input"),
        (["picto", "-m", "fake"], 2, "picto and --model fake are two models; give one"),
    ]:
        ran = tv("doctor", *arguments)
        assert (ran.code, ran.out, ran.err) == (code, "", f"tv: {said}\n")


def test_the_model_may_be_given_without_its_option(tv: Runner) -> None:
    ran = tv("doctor", "fake", model="no-such-model")
    assert ran.code == 0
    assert "model: fake, " in ran.out
