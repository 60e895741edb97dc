"""Annotation files and pictures in the public layouts of VQAv2, OK-VQA and A-OKVQA, with made-up contents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

COLORS = ("red", "blue", "green", "white")
SHIRT, HOLDING = "What color is the shirt?", "What is the man holding?"


def answers(*texts: str) -> list[dict[str, object]]:
    """Ten annotators; the last text is given by all that remain."""
    given = [*texts, *([texts[-1]] * (10 - len(texts)))]
    return [{"answer": text, "answer_confidence": "yes", "answer_id": i} for i, text in enumerate(given, 1)]


def color_of(picture: int) -> str:
    return COLORS[picture % len(COLORS)]


def held_in(picture: int) -> str:
    return f"thing {picture}"


def questions(pictures: Sequence[int]) -> dict[str, Any]:
    """Two questions about every picture, as in ``v2_OpenEnded_mscoco_val2014_questions.json``."""
    return {
        "info": {"description": "made up", "version": "2.0"},
        "task_type": "Open-Ended",
        "data_type": "mscoco",
        "data_subtype": "val2014",
        "license": {"url": "", "name": ""},
        "questions": [
            {"image_id": picture, "question": text, "question_id": picture * 1000 + number}
            for picture in pictures
            for number, text in enumerate((SHIRT, HOLDING))
        ],
    }


def annotations_of(pictures: Sequence[int], *, majority: bool = True) -> dict[str, Any]:
    """As in ``v2_mscoco_val2014_annotations.json``; OK-VQA's file names no majority."""
    found = []
    for picture in pictures:
        for number, text in enumerate((color_of(picture), held_in(picture))):
            found.append(
                {
                    "question_type": "what",
                    "answers": answers("odd one", "dark " + text, "dark " + text, "dark " + text, text),
                    "image_id": picture,
                    "answer_type": "other",
                    "question_id": picture * 1000 + number,
                    **({"multiple_choice_answer": text} if majority else {"confidence": 3}),
                }
            )
    return {"info": {}, "data_type": "mscoco", "data_subtype": "val2014", "license": {}, "annotations": found}


def aokvqa(pictures: Sequence[int]) -> list[dict[str, Any]]:
    """As in ``aokvqa_v1p0_val.json``."""
    return [
        {
            "split": "val",
            "image_id": picture,
            "question_id": f"22j{picture}",
            "question": "What sport is this for?",
            "choices": ["chess", "tennis", "polo", "golf"],
            "correct_choice_idx": 1,
            "direct_answers": ["ball games"] * 6 + ["tennis match"] * 3 + ["nothing"],
            "difficult_direct_answer": False,
            "rationales": ["It is."] * 3,
        }
        for picture in pictures
    ]


def write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), "utf-8")
    return path


def write_vqa(folder: Path, pictures: Sequence[int], *, majority: bool = True) -> list[Path]:
    """The file of questions, that of annotations, and the folder of pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_json(folder / "questions.json", questions(pictures)),
        write_json(folder / "annotations.json", annotations_of(pictures, majority=majority)),
        write_pictures(folder / "coco" / "val2014", pictures).parent,
    ]


def write_pictures(folder: Path, pictures: Sequence[int], name: str = "COCO_val2014_{:012}.jpg") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        color = (picture % 256, picture // 256 % 256, 90)
        Pillow.new("RGB", (4, 4), color).save(folder / name.format(picture), "PNG")  # unlike JPEG, keeps the color
    return folder
