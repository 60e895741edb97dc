"""The closed sets of words that tv's options, results and functions share, each defined only here."""

from __future__ import annotations

from enum import Enum
from typing import NoReturn

from tvcli.errors import UsageError


class Kind(str, Enum):
    """One of a few words. It equals its text, and prints as its text, also in JSON."""

    __str__ = str.__str__

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise UsageError(f"the {cls.__name__.lower()} must be one of {', '.join(cls)}, not {value!r}")


class Modality(Kind):
    """What a query or an example is made of."""

    TEXT = "text"
    IMAGE = "image"


class Split(Kind):
    """The samples that vectors are read from and layers are chosen on, and those that are scored."""

    VALIDATION = "validation"
    TEST = "test"


class Source(Kind):
    """What a task vector is read from (paper, sections 3.1, 3.2 and 4.4)."""

    TEXT = "text"
    IMAGE = "image"
    INSTRUCTION = "instruction"
    ENSEMBLE = "ensemble"

    @property
    def modality(self) -> Modality | None:
        """The modality of its examples; `None` for an instruction, which has none."""
        if self == Source.INSTRUCTION:
            return None
        return Modality.IMAGE if self == Source.IMAGE else Modality.TEXT


class Method(Kind):
    """How a query is answered (paper, table 2)."""

    NO_CONTEXT = "no context"
    PROMPT = "prompt"
    PATCH = "patch"


class View(Kind):
    """What is looked for in the delimiter's residuals: the paper's three quantities (figure 8), or tv's own."""

    PAPER = "paper"
    WORDS = "words"


class Picture(Kind):
    """Which pixels of an image the model gets."""

    MODEL = "model"  # all of them, upright, on white; llama.cpp resizes and tiles them
    PAPER = "paper"  # as the paper's code opens the file and the model's Hugging Face processor resizes it, one tile

    @property
    def words(self) -> str:
        """The end of "images ..."."""
        return "as in the paper's code" if self == Picture.PAPER else "at full size"
