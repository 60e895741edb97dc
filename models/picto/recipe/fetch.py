"""Fetches the npm packages of `sources.toml` from the registry, checks their hashes and unpacks them."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import sys
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from classes import HERE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REGISTRY = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    integrity: str  # npm's: "sha512-" and the hash in base64
    license: str
    author: str
    files: tuple[str, ...] = ()  # patterns of the drawings' paths; empty for an Iconify icon set
    held_out: bool = False
    final: bool = False  # only for the measurement at the end
    flags_alone: bool = False  # an icon set whose icons are named by country
    icons: str = ""  # the file that lists which icons show what

    def __post_init__(self) -> None:
        if self.held_out and self.final:
            raise SystemExit(f"sources.toml: {self.name} is both held_out and final")

    @property
    def trained_on(self) -> bool:
        return not (self.held_out or self.final)

    @property
    def family(self) -> str:
        """A short name of the style."""
        return self.name.rsplit("/", 1)[-1]

    def folder(self, work: Path) -> Path:
        return work / "npm" / f"{self.family}-{self.version}"

    @property
    def url(self) -> str:
        return f"{REGISTRY}/{self.name}/-/{self.family}-{self.version}.tgz"


def read_packages(*, final: bool = False) -> list[Package]:
    """The packages for training and choosing; or, if `final`, those for the measurement at the end."""
    entries = tomllib.loads((HERE / "sources.toml").read_text(encoding="utf-8"))["package"]
    packages = [Package(**{**entry, "files": tuple(entry.get("files", ()))}) for entry in entries]
    return [package for package in packages if package.final == final]


def fetch(package: Package, work: Path) -> None:
    """Unpack `package` in `work`, unless it is already there."""
    folder = package.folder(work)
    if folder.is_dir():
        return
    with urllib.request.urlopen(package.url, timeout=120) as response:
        archive = response.read()
    digest = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if digest != package.integrity:
        raise SystemExit(f"{package.url} is not the file that sources.toml names: its hash is {digest}")
    unfinished = folder.with_suffix(".partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            # npm archives hold one top folder, usually "package", with everything in it.
            member.name = member.name.split("/", 1)[-1]
            if member.isfile():
                tar.extract(member, unfinished, filter="data")
    unfinished.rename(folder)
