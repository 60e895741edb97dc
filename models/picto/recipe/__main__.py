"""Reproduces picto's vision tower, from npm and PyPI packages to the GGUF file, its figures and its card.

    python models/picto/recipe WORK
    python models/picto/recipe WORK --language-model qwen2.5-coder-1.5b
    python models/picto/recipe WORK --tune

The second command trains picto's tower further for another language model; the third fine-tunes picto's own language
model on pictures. Every stage writes its result to WORK and is
skipped if the result exists; training continues from its last epoch. Nothing under models/picto is written before the
last stage.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from card import About, write_card, write_tuned_card
from classes import HERE, read_classes
from evaluate import captioned, final, held_out, measures, naming, task_measures
from export import export, load_tower
from fetch import Package, fetch, read_packages
from pictures import UNNAMED, drawings, render_all
from rich.console import Console
from rich.progress import Progress
from teacher import CROPS, make_pool
from torch import Tensor
from tower import Shape, Tower
from train import FROM_SCRATCH, FURTHER, Course, Names, Pool, train
from words import Words, read_words

from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Lora
from tvcli.models.resolve import resolve

LANGUAGE_MODEL, FIRST = "gemma3-270m", "mmproj-picto-f16.gguf"  # picto itself
SHARED = ("fetch", "render", "teacher")  # stages that do not depend on the language model


def main() -> None:
    parser = argparse.ArgumentParser(description="Reproduce picto's vision tower.")
    parser.add_argument("work", type=Path, help="folder for intermediate files, about 4 GB")
    parser.add_argument("--evaluate", type=Path, metavar="MMPROJ", help="only measure this file, and print JSON")
    parser.add_argument("--final", type=Path, metavar="MMPROJ", help="the same, on the final style")
    parser.add_argument("--language-model", default=LANGUAGE_MODEL, help="of the catalog; by default %(default)s")
    parser.add_argument("--tune", action="store_true", help="fine-tune picto's language model: picto-tuned")
    args = parser.parse_args()
    if args.tune:
        Tuning(args.work).make()
        return
    recipe = Recipe(args.work, args.language_model)
    if args.final is not None:
        print(json.dumps(recipe.judge(args.final), indent=1))
        return
    recipe.draw()
    if args.evaluate is not None:
        print(json.dumps(recipe.measure(args.evaluate), indent=1))
        return
    recipe.teach()
    recipe.train()
    recipe.publish()


@dataclass
class Recipe:
    """The stages, in order. Each runs once."""

    work: Path
    language_model: str

    def __post_init__(self) -> None:
        self.own = self.work / self.language_model  # what depends on the language model
        self.own.mkdir(parents=True, exist_ok=True)
        self.classes = read_classes()
        self.model = resolve(self.language_model).text

    @cached_property
    def shape(self) -> Shape:
        return replace(Shape(), out=self.words.embeddings.shape[1])

    @property
    def is_first(self) -> bool:
        """Whether this is picto itself, which other towers start from."""
        return self.language_model == LANGUAGE_MODEL

    @property
    def course(self) -> Course:
        return FROM_SCRATCH if self.is_first else FURTHER

    @property
    def target(self) -> Path:
        """The mmproj file under models/picto."""
        return HERE.parent / f"mmproj-{self.name}-f16.gguf"

    @property
    def name(self) -> str:
        """The catalog's name of the whole model."""
        return "picto" if self.is_first else f"picto-{self.language_model}"

    def draw(self) -> None:
        """npm packages to pictures.npz."""
        self.render(read_packages(), self.file("pictures.npz"), "")

    def render(self, packages: list[Package], file: Path, prefix: str) -> None:
        with self.stage(f"{prefix}fetch", len(packages)) as advance:
            for package in packages:
                fetch(package, self.work)
                advance()
        if not file.exists():
            found = list(drawings(self.classes, packages, self.work))
            with self.stage(f"{prefix}render", len(found)) as advance:
                render_all(found, file, advance)

    def teach(self) -> None:
        """Crops of the training pictures, and the teacher's features of them."""
        if self.file("pool.seen.npy").exists():
            return
        images = torch.from_numpy(self.pictures["images"])
        with self.stage("teacher", len(self.shown)) as advance:
            make_pool(images, self.shown, self.file("pool"), advance)

    def train(self) -> None:
        if (self.own / "tower.pt").exists():
            return
        pool, names, start = self.pool, Names(self.words), None if self.is_first else HERE.parent / FIRST
        with self.stage("train", self.course.epochs * pool.batches) as advance:
            tower = train(self.shape, pool, names, self.course, self.own / "train.pt", advance, self.log, start)
        torch.save(tower.state_dict(), self.own / "tower.pt")

    def publish(self) -> None:
        """The GGUF file, its figures and its card."""
        tower, made = self.tower(), self.own / self.target.name
        export(tower, made, self.language_model)
        figures = self.measured_once("figures.json", lambda: self.measure(made))
        figures["final"] = self.measured_once("final.json", lambda: self.judge(made))
        shutil.copyfile(made, self.target)
        parameters = sum(weights.numel() for weights in tower.parameters())
        card = HERE.parent / ("README.md" if self.is_first else f"{self.language_model}.md")
        about = About(self.name, self.target.name, self.language_model, self.is_first)
        write_card(card, about, figures, self.times, parameters)

    def measured_once(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of `measure`, computed once and saved."""
        file = self.own / name
        if not file.exists():
            file.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def tower(self) -> Tower:
        """The trained tower."""
        tower = Tower(self.shape)
        tower.load_state_dict(torch.load(self.own / "tower.pt", weights_only=True))
        return tower

    def measure(self, mmproj: Path) -> dict[str, Any]:
        drawn, figures = held_out(self.file("pictures.npz")), {}
        with LlamaEngine(self.model, mmproj) as engine:
            taken = measures(engine, self.classes, self.words, drawn)
            if self.is_first:  # the others' tasks, which take long, are in results/
                taken |= task_measures(engine)
            with self.stage("evaluate", len(taken)) as advance:
                for name, measure in taken.items():
                    figures[name] = measure()
                    advance()
        return figures

    def judge(self, mmproj: Path) -> dict[str, Any]:
        """The figures of the final style, which are not used for decisions; its pictures are in a separate file."""
        file = self.file("final.npz")
        self.render(read_packages(final=True), file, "final ")
        with LlamaEngine(self.model, mmproj) as engine, self.stage("final evaluate", 1) as advance:
            figures = final(engine, self.classes, self.words, held_out(file))
            advance()
        return {"date": date.today().isoformat(), **figures}

    @cached_property
    def words(self) -> Words:
        names = [thing.name for thing in self.classes]
        return read_words(self.model, names, Shape().tokens, space=not self.is_first)

    @cached_property
    def pictures(self) -> Mapping[str, np.ndarray]:
        """The output of `draw`; each array is read when it is used."""
        pictures: Mapping[str, np.ndarray] = np.load(self.file("pictures.npz"))
        return pictures

    @cached_property
    def groups(self) -> np.ndarray:
        """The group of what each picture shows; "unnamed" if it shows none of the classes."""
        labels = self.pictures["label"]
        return np.where(labels == UNNAMED, "unnamed", np.array([c.group for c in self.classes])[labels])

    @cached_property
    def shown(self) -> Tensor:
        """The picture of each crop of the pool, (M,)."""
        crops = np.array([CROPS[group] for group in self.groups])
        crops[self.pictures["held_out"]] = 0
        return torch.from_numpy(np.repeat(np.arange(len(crops)), crops))

    @cached_property
    def pool(self) -> Pool:
        return Pool(
            np.load(self.file("pool.crops.npy")),
            torch.from_numpy(np.load(self.file("pool.seen.npy"))),
            torch.from_numpy(self.pictures["label"])[self.shown],
            torch.from_numpy(self.groups == "flag")[self.shown],
        )

    @property
    def times(self) -> dict[str, float]:
        """Seconds of every stage so far."""
        files = [file for file in (self.file("times.json"), self.own / "times.json") if file.exists()]
        return {name: seconds for file in files for name, seconds in json.loads(file.read_text("utf-8")).items()}

    def file(self, name: str) -> Path:
        return self.work / name

    def log(self, epoch: int, losses: list[float]) -> None:
        """A line in losses.jsonl."""
        with (self.own / "losses.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps([epoch, *(round(loss, 4) for loss in losses)]) + "\n")

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[..., None]]:
        """Show progress of one stage; yields a function to call after each step. Records the stage's duration."""
        start = time.monotonic()
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(name, total=total)
            yield lambda steps=1: progress.advance(task, steps)
        file = (self.work if name in SHARED else self.own) / "times.json"
        times = json.loads(file.read_text("utf-8")) if file.exists() else {}
        file.write_text(json.dumps({**times, name: round(time.monotonic() - start)}), encoding="utf-8")


class Tuning(Recipe):
    """picto-tuned: picto with a LoRA adapter of its language model that was trained on captions."""

    ADAPTER = "lora-picto-tuned-f16.gguf"

    def __init__(self, work: Path) -> None:
        super().__init__(work, LANGUAGE_MODEL)
        self.own = work / "picto-tuned"
        self.own.mkdir(exist_ok=True)

    def make(self) -> None:
        self.draw()
        self.teach()
        if not (self.own / self.ADAPTER).exists():
            self.tune()
        figures = self.measured_once("figures.json", self.compare)
        shutil.copyfile(self.own / self.ADAPTER, HERE.parent / self.ADAPTER)
        from tune import BATCH, CAPTIONS, RANK, STEPS

        training = {
            "rank": RANK,
            "steps": STEPS,
            "batch": BATCH,
            "question": "…".join(CAPTIONS[0]).replace("\n", "\\n"),
        }
        write_tuned_card(HERE.parent / "tuned.md", figures, self.times, **training)

    def tune(self) -> None:
        from tune import STEPS, Captions, load_model, tune, write_adapter  # needs peft and transformers

        tower = Tower(self.shape)
        load_tower(HERE.parent / FIRST, tower)
        model = load_model(self.model)
        captions = Captions(model, self.model, [thing.name for thing in self.classes])
        with self.stage("tune", STEPS) as advance:
            losses = tune(model, tower, self.pool, captions, advance)
        (self.own / "losses.json").write_text(json.dumps(losses), encoding="utf-8")
        write_adapter(model, self.own / self.ADAPTER, "adapter of Gemma 3 270M, trained on captions of pictograms")

    def compare(self) -> dict[str, Any]:
        """Naming of the held-out drawings, without and with the adapter."""
        from tune import CAPTIONS

        drawn = held_out(self.file("pictures.npz"))
        loras = {"before": (), "after": (Lora(self.own / self.ADAPTER),)}
        figures: dict[str, Any] = {}
        for when, adapters in loras.items():
            with LlamaEngine(self.model, HERE.parent / FIRST, loras=adapters) as engine, self.stage(when, 2) as advance:
                figures[when] = {"caption": captioned(engine, self.classes, drawn, *CAPTIONS[0])}
                advance()
                figures[when]["five words"] = naming(engine, self.classes, self.words, drawn)
                advance()
        return figures


if __name__ == "__main__":
    main()
