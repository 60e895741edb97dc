"""Renders the pictures of the tasks again, from the npm packages that draw them.

    npm install --prefix NPM_FOLDER flag-icons@7.5.0 @iconify-json/noto@1.2.9
    pip install resvg-py==0.5.0 pillow==13.0.0
    python tasks/render.py NPM_FOLDER

Which pictures: every "image" in tasks/*/examples.jsonl. images/flags/xx.png is flag-icons' flags/1x1/xx.svg,
the others are the Noto icon of the file's name, or the one that images/sources.json gives instead.
"""

from __future__ import annotations

import argparse
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import resvg_py
from PIL import Image

TASKS = Path(__file__).resolve().parent
IMAGES = TASKS / "images"
SIZE = 224  # pixels, width and height: the usual input of a vision tower
COLORS = 256  # as many as a PNG palette holds; no difference can be seen, and the files are a third as large


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the pictures of the tasks from the npm packages.")
    parser.add_argument("npm_folder", type=Path, help="where npm installed the packages; holds node_modules")
    modules = parser.parse_args().npm_folder / "node_modules"
    sources: dict[str, str] = json.loads((IMAGES / "sources.json").read_text(encoding="utf-8"))
    for picture in pictures():
        write_png(draw(svg(picture, sources, modules)), picture)


def pictures() -> list[Path]:
    """The pictures that the examples name, each once."""
    found = set()
    for examples in sorted(TASKS.glob("*/examples.jsonl")):
        records = map(json.loads, examples.read_text(encoding="utf-8").splitlines())
        found |= {(examples.parent / record["image"]).resolve() for record in records if "image" in record}
    return sorted(found)


def svg(picture: Path, sources: dict[str, str], modules: Path) -> str:
    """The drawing that `picture` is made from."""
    if picture.parent.name == "flags":
        return (modules / f"flag-icons/flags/1x1/{picture.stem}.svg").read_text(encoding="utf-8")
    return noto(modules, sources.get(picture.relative_to(IMAGES).as_posix(), picture.stem))


def noto(modules: Path, icon: str) -> str:
    icons = icon_set(modules / "@iconify-json/noto/icons.json")
    drawing = icons["icons"][icon]
    width, height = (drawing.get(side, icons[side]) for side in ("width", "height"))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' viewBox="0 0 {width} {height}">{drawing["body"]}</svg>'
    )


@cache
def icon_set(path: Path) -> dict[str, Any]:
    icons: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return icons


def draw(drawing: str) -> Image.Image:
    """RGB, `SIZE` × `SIZE`, on white."""
    png = resvg_py.svg_to_bytes(svg_string=drawing, width=SIZE, height=SIZE)
    with Image.open(io.BytesIO(bytes(png))) as layer:
        canvas = Image.new("RGBA", (SIZE, SIZE), "white")
        canvas.alpha_composite(layer.convert("RGBA"))
    return canvas.convert("RGB")


def write_png(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    palette = picture.quantize(COLORS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(path, optimize=True)


if __name__ == "__main__":
    main()
