"""Texts without what may identify somebody."""

import getpass
import os
import platform
from pathlib import Path

import pytest

from tvcli.doctor import private


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("the model Acme-7B does not load", "the model … does not load"),
        ("ACME-7b.", "…."),
        ("Acme-7Beta and xAcme-7B", "Acme-7Beta and xAcme-7B"),  # other words
        ("the file model.gguf of llama.cpp", "the file model.gguf of llama.cpp"),  # public words
        ("ab is in the table", "ab is in the table"),  # too short
        ("cannot open /srv/x y/z.bin: denied", "cannot open … y/z.bin: denied"),
        ("cannot open '/srv/x y/z.bin'", "cannot open '…'"),
        ("in ~/models and C:\\Users\\x", "in … and …"),
        ("/tmp/pip-1/ggml/src/ggml-cpu.c:12: failed", "…/ggml-cpu.c:12: failed"),
        ("/tmp/pip-1/mine.c:12: failed", "…:12: failed"),
        ("10 tokens/s, text/image, 1 / 2", "10 tokens/s, text/image, 1 / 2"),
        ("see https://a.example/x?y=z now", "see … now"),
        ("mail a.b+c@d.example", "mail …"),
        ("llama.cpp 0.5.0 (ggml 0.25.3) at 10.1.2.3:50052", "llama.cpp 0.5.0 (ggml 0.25.3) at …"),
        ("hf_0123456789abc ghp_0123456789", "… …"),
        ("the tensor 'blk.0.attn_q.weight' and 'key of Jane' twice", "the tensor 'blk.0.attn_q.weight' and '…' twice"),
        (
            "text ':' (7), image ' :' (8), EOS '</s>', '<|im_end|>'",
            "text ':' (7), image ' :' (8), EOS '</s>', '<|im_end|>'",
        ),
        ("the patch's effect and the query's own", "the patch's effect and the query's own"),
        ('"some text" and "x"', '"…" and "x"'),
    ],
)
def test_words_and_private_forms_are_masked(text: str, said: str) -> None:
    assert private.masking(["Acme-7B", "model", "llama.cpp", "ab", ""])(text) == said


def test_nothing_private_is_known_and_forms_are_masked_still() -> None:
    assert private.masking([])("x /a/b y") == "x … y"


def test_the_longest_word_is_masked_first() -> None:
    assert private.masking(["Jane", "Jane Doe"])("Jane Doe, Jane") == "…, …"


def test_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "janedoe"))
    monkeypatch.setenv("SHORT", "12345")
    monkeypatch.setenv("LONG", "123456")
    monkeypatch.setattr(getpass, "getuser", lambda: "jane")
    monkeypatch.setattr(platform, "node", lambda: "host.example")
    monkeypatch.chdir(tmp_path)
    found = set(private.of_this_machine())
    assert {"jane", str(tmp_path / "janedoe"), "janedoe", "host.example", "host", str(tmp_path), "123456"} <= found
    assert "12345" not in found


def test_of_a_machine_without_a_user_a_home_or_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise OSError

    monkeypatch.setattr(getpass, "getuser", unknown)
    monkeypatch.setattr(os, "getcwd", unknown)
    monkeypatch.setattr(private, "_home", unknown)
    monkeypatch.setattr(private, "_full_name", unknown)
    monkeypatch.setattr(platform, "node", lambda: "")
    assert "" in set(private.of_this_machine())  # and masks nothing
    assert private.masking(private.of_this_machine())("text") == "text"


def test_of_paths_and_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = set(private.of_paths([Path("a b/c-d.gguf")]))
    assert {"a b/c-d.gguf", "a b", "c-d", "c-d.gguf", str(tmp_path / "a b"), tmp_path.name} <= found
    assert list(private.of_texts(["one line", "two\n  long lines\n"])) == ["one line", "long lines"]
