"""The paper's own data, in archives of its form, become task folders; nothing gets out of its folder."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import papers_archives
import pytest
from conftest import Runner
from PIL import Image as Pillow

from tvcli.evaluation.task_checks import errors
from tvcli.inputs.tasks import load_task

Form = Literal["NFC", "NFD"]
SAMPLES = [{"input": f"x{i}", "image": f"images/country/{i}.png", "output": f"y{i}"} for i in range(3)]


def png(gray: int = 0) -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", (4, 4), (gray, gray, gray)).save(buffer, "PNG")
    return buffer.getvalue()


def archives(tmp_path: Path, annotations: Mapping[str, object], pictures: dict[str, bytes]) -> list[object]:
    paths = tmp_path / "annotations.zip", tmp_path / "images.zip"
    with zipfile.ZipFile(paths[0], "w") as archive:
        for name, data in annotations.items():
            archive.writestr(name, data if isinstance(data, str) else json.dumps(data))
    with zipfile.ZipFile(paths[1], "w") as archive:
        for name, content in pictures.items():
            archive.writestr(name, content)
    return ["--annotations", paths[0], "--images", paths[1], "-o", tmp_path / "tasks"]


PICTURES = {f"images/country/{i}.png": png(i) for i in range(3)}


def test_the_papers_archives_become_task_folders(tv: Runner, tmp_path: Path) -> None:
    annotations = {
        "annotations/country-capital_val.json": SAMPLES[:1],
        "annotations/country-capital_test.json": {"data": SAMPLES[1:]},
        "annotations/my-task_test.json": [{"input": "a", "output": "b"}],
    }
    ran = tv("tasks", "pull", *archives(tmp_path, annotations, PICTURES))
    assert ran.code == 0
    assert "country-capital, my-task" in ran.err
    task = load_task(tmp_path / "tasks" / "country-capital")
    assert errors(task) == []
    assert task.instruction == "The capital city of the country:"
    assert task.words == ("capital", "city")
    assert [s.input for s in task.validation] == ["x0"]
    assert [s.outputs for s in task.test] == [("y1",), ("y2",)]
    assert task.test[0].image is not None
    assert task.test[0].image.is_file()
    mine = load_task(tmp_path / "tasks" / "my-task")
    assert (mine.instruction, mine.words) == ("my-task:", None)


def test_what_the_hub_sent_is_the_papers_data_until_somebody_changes_it(
    tv: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, annotations, _, images, *target = archives(
        tmp_path, {"t_val.json": SAMPLES[:1], "t_test.json": SAMPLES}, PICTURES
    )
    monkeypatch.setattr("tvcli.inputs.paper_data.fetch", lambda meter: (annotations, images))
    assert tv("tasks", "pull", *target).err.startswith("wrote t to ")
    folder = tmp_path / "tasks" / "t"
    assert load_task(folder).is_papers
    assert tv("tasks", "pull", *target).code == 0  # again: nothing is added twice
    assert load_task(folder).is_papers
    (tmp_path / "tasks" / "images" / "country" / "1.png").write_bytes(png(99))
    assert not load_task(folder).is_papers


def test_archives_of_unknown_origin_are_other_data(tv: Runner, tmp_path: Path) -> None:
    ran = tv("tasks", "pull", *archives(tmp_path, {"t_test.json": SAMPLES}, PICTURES))
    assert "it is not known whether the archives are the paper's, so tables call them other data" in ran.err
    assert not load_task(tmp_path / "tasks" / "t").is_papers


HIDDEN = [
    "__MACOSX/annotations/._t_test.json",
    "annotations/._t_test.json",
    ".trash/t_test.json",
    "__MACOSX/t_test.json",
]


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("content", ["\0\5\x16\7\0\2\0\0Mac OS X", [{"input": "a", "output": "another"}]])
def test_what_a_mac_puts_into_an_archive_is_no_annotation(
    tv: Runner, tmp_path: Path, name: str, content: object
) -> None:
    """Before the real file or after it; also a whole one in a folder that nobody sees."""
    for annotations in ({"t_test.json": SAMPLES, name: content}, {name: content, "t_test.json": SAMPLES}):
        ran = tv("tasks", "pull", *archives(tmp_path, annotations, PICTURES))
        assert ran.code == 0, ran.err
        assert [sample.input for sample in load_task(tmp_path / "tasks" / "t").test] == ["x0", "x1", "x2"]
    ran = tv("tasks", "pull", *archives(tmp_path, {name: content}, PICTURES))
    assert ran.code == 2
    assert "contains no NAME_val.json" in ran.err


def test_a_picture_that_is_missing_shows_in_the_check(tv: Runner, tmp_path: Path) -> None:
    assert tv("tasks", "pull", *archives(tmp_path, {"t_test.json": SAMPLES}, {})).code == 0
    assert tv("tasks", "check", tmp_path / "tasks" / "t").code == 1


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize("in_json", ["NFC", "NFD"])
@pytest.mark.parametrize("in_archive", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["São Tomé", "日本 が", "Côte d'Ivoire"])
def test_a_picture_is_found_under_any_form_of_its_name(
    tv: Runner, tmp_path: Path, name: str, in_archive: Form, in_json: Form, flagged: bool
) -> None:
    """Composed or not, and with or without the flag that says that the name is UTF-8."""
    path, member = (normalize(form, f"images/{name}/{name}.png") for form in (in_json, in_archive))
    arguments = archives(tmp_path, {"t_test.json": [{"input": "x", "image": path, "output": "y"}]}, {})
    info = zipfile.ZipInfo(member) if flagged else papers_archives.Unflagged(member)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("__MACOSX/" + member, b"no picture")
        archive.writestr(info, png(7))
    assert tv("tasks", "pull", *arguments).code == 0
    task = load_task(tmp_path / "tasks" / "t")
    assert errors(task) == []
    assert task.test[0].image is not None
    assert task.test[0].image.read_bytes() == png(7)


def test_the_exact_name_goes_before_another_form_of_it(tv: Runner, tmp_path: Path) -> None:
    names = [normalize("NFC", "images/é.png"), normalize("NFD", "images/é.png")]
    samples = [{"input": name[-5], "image": name, "output": "y"} for name in names]
    pictures = {name: png(gray) for gray, name in enumerate(names)}
    assert tv("tasks", "pull", *archives(tmp_path, {"t_test.json": samples}, pictures)).code == 0
    read = [sample.image.read_bytes() for sample in load_task(tmp_path / "tasks" / "t").test if sample.image]
    assert read == list(pictures.values())


def test_a_pull_says_what_tasks_check_would_find(tv: Runner, tmp_path: Path) -> None:
    samples = [{"input": "x", "image": f"images/{i}.png", "output": "y"} for i in range(12)]
    ran = tv("tasks", "pull", *archives(tmp_path, {"t_val.json": [], "t_test.json": samples}, {}))
    assert ran.code == 0
    warned = [line for line in ran.err.splitlines() if line.startswith("warning: ")]
    assert len(warned) == 11
    assert "the input 'x' is in the file twice, first in line 1" in warned[0]
    assert warned[-1] == "warning: 13 more problems, which tv tasks check lists"


@pytest.mark.parametrize("path", ["../../evil.png", "/tmp/evil.png", "images/../../../evil.png", "C:\\evil.png"])
def test_no_picture_is_written_outside_the_folder(tv: Runner, tmp_path: Path, path: str) -> None:
    sample = {"input": "x", "image": path, "output": "y"}
    ran = tv("tasks", "pull", *archives(tmp_path, {"t_test.json": [sample]}, {path: png()}))
    assert ran.code == 2
    assert "points outside the folder" in ran.err
    assert not list(tmp_path.parent.rglob("evil.png"))


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({"readme.txt": "x"}, "contains no NAME_val.json"),
        ({"t_test.json": "{"}, "t_test.json: not JSON"),
        ({"t_test.json": {"rows": []}}, "expected a JSON list"),
        ({"t_test.json": [{"input": "x"}]}, "item 1: the output is missing"),
        ({"t_test.json": [3]}, "item 1: the output is missing"),
    ],
)
def test_annotations_of_another_form_are_named(
    tv: Runner, tmp_path: Path, annotations: dict[str, object], words: str
) -> None:
    ran = tv("tasks", "pull", *archives(tmp_path, annotations, PICTURES))
    assert ran.code == 2
    assert words in ran.err


def test_broken_archives_and_a_dead_hub_are_unavailable(
    tv: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.zip").write_bytes(b"no archive")
    ran = tv("tasks", "pull", "--annotations", tmp_path / "a.zip", "--images", tmp_path / "a.zip", "-o", tmp_path / "t")
    assert ran.code == 3
    assert "cannot be converted" in ran.err
    assert tv("tasks", "pull", "--annotations", tmp_path / "a.zip").code == 2
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    ran = tv("tasks", "pull", "-o", tmp_path / "t")
    assert ran.code == 3
    assert "the paper's data cannot be fetched: g-luo/vlm-cross-modal-reps is not on this machine" in ran.err


# -- a link in an archive -------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
def test_a_link_in_an_archive_is_only_a_file(tv: Runner, tmp_path: Path) -> None:
    import stat
    import zipfile

    link = zipfile.ZipInfo("images/a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "i.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("t_test.json", '[{"input": "x", "image": "images/a.png", "output": "y"}]')
    ran = tv("tasks", "pull", "--annotations", tmp_path / "a.zip", "--images", tmp_path / "i.zip", "-o", tmp_path / "o")
    assert ran.code == 0
    assert not (tmp_path / "o/images/a.png").is_symlink()
    assert (tmp_path / "o/images/a.png").read_text() == "/etc/passwd"
