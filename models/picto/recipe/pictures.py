"""Renders every drawing of every class to the arrays for training."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from classes import Class, read_icons
from fetch import Package
from PIL import Image

SIZE = 128  # pixels, width and height
UNNAMED = -1  # the label of a drawing of none of the classes
PEOPLE = re.compile(r"skin-tone|-(dark|light|medium)$")  # a person in another skin color


@dataclass(frozen=True)
class Drawing:
    """One picture before it is rendered."""

    label: int  # index of its class, or UNNAMED
    family: str
    held_out: bool  # not used for training
    svg: str | None  # markup; None for a bitmap
    bitmap: Path | None


@dataclass
class IconSet:
    """An Iconify icon set of emoji: finds an icon by the emoji's code points or by any of its names."""

    path: Path

    @cached_property
    def content(self) -> dict[str, Any]:
        return dict(json.loads((self.path / "icons.json").read_text(encoding="utf-8")))

    @cached_property
    def codes(self) -> dict[str, str]:
        file = self.path / "chars.json"
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}

    @cached_property
    def by_name(self) -> dict[str, str]:
        aliases = {k: v["parent"] for k, v in self.content.get("aliases", {}).items() if set(v) == {"parent"}}
        return {plain(name): target for name, target in [*aliases.items(), *((n, n) for n in self.content["icons"])]}

    def svg(self, icon: str) -> str:
        drawing = self.content["icons"][icon]
        width, height = (drawing.get(side, self.content.get(side, 16)) for side in ("width", "height"))
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
            f' viewBox="0 0 {width} {height}">{drawing["body"]}</svg>'
        )


def plain(name: str) -> str:
    """The letters and digits of `name`: icon sets differ in hyphens."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def flag_code(iso: str) -> str:
    """The code points of a country's flag among emoji: two regional indicators."""
    return "-".join(f"{0x1F1E6 + ord(letter) - ord('a'):x}" for letter in iso)


class Names:
    """The names of emoji, collected from the icon sets that have their code points."""

    def __init__(self, sets: list[IconSet]) -> None:
        self.names: dict[str, set[str]] = {}
        for icons in sets:
            for code, name in icons.codes.items():
                self.names.setdefault(code, set()).add(plain(name))

    def of(self, code: str) -> set[str]:
        known = self.names.get(code, set())
        flags = {name.replace("flag", "flagfor", 1) for name in known if name.startswith("flag")}
        return known | flags


def drawings(classes: list[Class], packages: list[Package], work: Path) -> Iterator[Drawing]:
    """Every drawing of `classes` in `packages`, then the other drawings of the emoji sets for training."""
    sets = {p.family: IconSet(p.folder(work)) for p in packages if not p.files}
    names = Names(list(sets.values()))
    for label, thing in enumerate(classes):
        for package in packages:
            for svg, bitmap in drawn(thing, package, sets.get(package.family), names, work):
                yield Drawing(label, package.family, not package.trained_on, svg, bitmap)
    for package in packages:
        if package.trained_on and not (package.files or package.flags_alone):
            for svg in others(sets[package.family], classes, names):
                yield Drawing(UNNAMED, package.family, False, svg, None)


def others(icons: IconSet, classes: list[Class], names: Names) -> Iterator[str]:
    """The drawings of `icons` that show none of `classes`, without flags and people in other skin colors."""
    codes = (code for thing in classes if thing.group != "flag" for code in thing.drawings)
    named = {find(icons, code, names) for code in codes}
    for icon in icons.content["icons"]:
        if icon not in named and not icon.startswith("flag") and not PEOPLE.search(icon):
            yield icons.svg(icon)


def drawn(
    thing: Class, package: Package, icons: IconSet | None, names: Names, work: Path
) -> Iterator[tuple[str | None, Path | None]]:
    """The drawings of `thing` in `package`: SVG markup, or the path of a bitmap."""
    flag = thing.group == "flag"
    codes = [flag_code(thing.drawings[0])] if flag else list(thing.drawings)
    if icons is not None:
        if package.icons:
            found = read_icons(package.icons).get(thing.name, [])
        elif package.flags_alone:
            found = [thing.drawings[0]] if flag and thing.drawings[0] in icons.content["icons"] else []
        else:
            found = [icon for code in codes if (icon := find(icons, code, names))]
        yield from ((icons.svg(icon), None) for icon in dict.fromkeys(found))
        return
    for code in codes:
        for pattern in package.files:
            if ("{code}" in pattern) == flag:
                continue
            iso = thing.drawings[0]
            path = package.folder(work) / pattern.format(code=code, iso=iso, ISO=iso.upper())
            if path.suffix == ".svg" and path.exists():
                yield path.read_text(encoding="utf-8"), None
            elif path.exists():
                yield None, path


def find(icons: IconSet, code: str, names: Names) -> str | None:
    if code in icons.codes:
        return icons.codes[code]
    return next((icons.by_name[name] for name in sorted(names.of(code)) if name in icons.by_name), None)


def render(drawing: Drawing) -> np.ndarray | None:
    """uint8 (SIZE, SIZE, 4), RGBA; None if the drawing cannot be rendered."""
    try:
        if drawing.bitmap is not None:
            image = Image.open(drawing.bitmap).convert("RGBA")
        else:
            png = resvg_py.svg_to_bytes(svg_string=drawing.svg, width=SIZE)
            image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    except BaseException as error:  # resvg panics on a few drawings, which does not raise an Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return None
    image.thumbnail((SIZE, SIZE))
    canvas = Image.new("RGBA", (SIZE, SIZE))
    canvas.paste(image, ((SIZE - image.width) // 2, (SIZE - image.height) // 2))
    return np.asarray(canvas)


def render_all(found: list[Drawing], path: Path, advance: Callable[[], None]) -> None:
    """Write `path`: images (N, SIZE, SIZE, 4), label (N,), family (N,), held_out (N,)."""
    kept, images = [], []
    with Pool() as pool:
        for drawing, image in zip(found, pool.imap(render, found, chunksize=32), strict=True):
            advance()
            if image is not None:
                kept.append(drawing)
                images.append(image)
    np.savez(
        path,
        images=np.stack(images),
        label=np.array([d.label for d in kept]),
        family=np.array([d.family for d in kept]),
        held_out=np.array([d.held_out for d in kept]),
    )
