"""`tv paper`: every table runs, and again from its folder; the paper's data are fetched, checked and kept apart."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import papers_archives
import pytest
from conftest import Runner
from local_hub import LocalHub, serve, stand_in

from tvcli.engine.fake import FakeEngine
from tvcli.inputs.paper_data import REPOSITORIES


def test_paper_lists_its_tables_and_refuses_unknown_ones(tv: Runner) -> None:
    names = [line.split("\t")[0] for line in tv("paper").out.splitlines()[1:]]
    assert {
        "table2",
        "table3",
        "table4",
        "after-table4",
        "table5",
        "table7",
        "table9",
        "table10",
        "table12",
        "figure6",
    } <= set(names)
    assert tv("paper", "table99").code == 2


@pytest.mark.parametrize(
    ("options", "picture", "words"),
    [([], "paper", "as in the paper's code"), (["--picture", "model"], "model", "at full size")],
)
def test_the_papers_pixels_are_taken_unless_others_are_asked_for(
    tv: Runner, options: list[str], picture: str, words: str
) -> None:
    common = ["paper", "table2", "--limit", 6, "--seeds", 1, *options]
    [title] = [line for line in tv(*common).err.splitlines() if line.startswith("table2: ")]
    assert title.endswith(f"; images {words}")
    assert json.loads(tv(*common, "--json").out)["picture"] == picture


def test_a_report_continues_from_answers_of_tv_paper(tv: Runner, tmp_path: Path) -> None:
    common = ["--limit", 6, "--seeds", 1, "-T", "food-color"]
    assert tv("paper", "table2", *common, "-o", tmp_path).code == 0
    made = tv("report", *common, "--results", tmp_path, "-o", tmp_path / "r.html")
    assert (made.code, "as in the paper&#39;s code" in tmp_path.joinpath("r.html").read_text("utf-8")) == (0, True)


@pytest.mark.parametrize(
    "name",
    [
        "table2",
        "table3",
        "after-table4",
        "after-table5",
        "table6",
        "table9",
        "table10",
        "table12",
        "table13",
        "figure2",
        "figure4",
        "figure5",
        "figure6",
        "figure7",
        "figure8",
    ],
)
def test_every_table_runs_and_resumes(tv: Runner, tmp_path: Path, name: str) -> None:
    arguments = ["paper", name, "--json", "--limit", 6, "--seeds", "1,2", "-o", tmp_path / "answers"]
    first = tv(*arguments)
    assert first.code == 0
    record = json.loads(first.out)
    assert record["name"] == name
    assert record["rows"]
    assert tv(*arguments).out == first.out


# -- the paper's data -------------------------------------------------------------------------------------------------


SMALL = ("--seeds", "1", "--json")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """It has archives of the paper's layout; the current folder is empty."""
    from huggingface_hub import close_session

    archives = papers_archives.write(tmp_path / "archives")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with serve(LocalHub({f"datasets/{REPOSITORIES[0]}": archives.by_name})) as served:
        stand_in(served, monkeypatch, tmp_path / "cache")
        yield served
    close_session()


@pytest.fixture
def by_hand(tv: Runner, tmp_path: Path) -> Path:
    """Task folders of archives that somebody already had."""
    made = papers_archives.write(tmp_path / "archives")
    given = ["--annotations", made.annotations, "--images", made.images]
    assert tv("tasks", "pull", *given, "-o", tmp_path / "tasks").code == 0
    return tmp_path / "tasks"


def test_the_papers_data_are_fetched_once_and_answers_are_kept_in_their_own_folder(tv: Runner, hub: LocalHub) -> None:
    first = tv("paper", "table2", "--data", "paper", *SMALL)
    assert first.code == 0, first.err
    assert "answers are saved in paper-data-fake" in first.err
    record = json.loads(first.out)
    rows = [row["task"] for row in record["rows"]]
    assert rows[:7] == [*papers_archives.TASKS, "average"]
    assert all(row.startswith("paper: ") and "(other data)" not in row for row in rows[7:])
    assert record["note"].startswith("the paper's data; ")
    assert [path.name for path in Path().iterdir()] == ["paper-data-fake"]
    written = Path("paper-data-fake/table2.jsonl").read_bytes()
    hub.requests.clear()
    again = tv("paper", "table2", "--data", "paper", *SMALL)
    assert (again.code, again.out, hub.requests) == (0, first.out, [])
    assert Path("paper-data-fake/table2.jsonl").read_bytes() == written


def test_data_that_somebody_changed_are_fetched_again(tv: Runner, hub: LocalHub, tmp_path: Path) -> None:
    assert tv("paper", "table2", "--data", "paper", *SMALL, "-o", "a").code == 0
    [kept] = (tmp_path / "no-such-home").rglob("paper-tasks")
    picture = next(kept.rglob("*.jpg"))
    before = picture.read_bytes()
    picture.write_bytes(papers_archives.photograph("another", (9, 9)))
    ran = tv("paper", "table2", "--data", "paper", *SMALL, "-o", "a")
    assert (ran.code, picture.read_bytes()) == (0, before)
    assert "wrote the paper's tasks to" in ran.err
    assert list(kept.parent.glob(".paper-tasks-*")) == []  # the old ones are gone


def test_without_a_network_the_manual_way_is_named(tv: Runner, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    ran = tv("paper", "table2", "--data", "paper")
    assert (ran.code, ran.out) == (3, "")
    assert "the paper's data cannot be fetched" in ran.err
    assert "tv tasks pull --annotations FILE --images FILE -o FOLDER, then --data FOLDER" in ran.err
    assert list(Path().iterdir()) == []


def test_archives_that_are_there_are_used_by_their_folder(tv: Runner, by_hand: Path, tmp_path: Path) -> None:
    ran = tv("paper", "table2", "--data", by_hand, *SMALL, "-o", tmp_path / "answers")
    assert ran.code == 0, ran.err
    record = json.loads(ran.out)
    assert [row["task"] for row in record["rows"]][:6] == papers_archives.TASKS
    assert record["note"].startswith("other data; ")


def test_data_that_cannot_be_used_are_refused(tv: Runner, by_hand: Path, tmp_path: Path) -> None:
    ran = tv("paper", "table2", "--data", by_hand, "-T", "food-color")
    assert (ran.code, ran.err) == (2, "tv: --data names all tasks, so --task cannot be added; remove one of them\n")
    ran = tv("paper", "table2", "--data", tmp_path / "nowhere")
    assert (ran.code, "--data is tv, paper or a folder" in ran.err) == (3, True)
    shutil.rmtree(by_hand / "food-color")
    ran = tv("paper", "table2", "--data", by_hand)
    assert (ran.code, "has no task food-color" in ran.err) == (2, True)
    assert tv("paper", "--data", "tv").code == 2


def test_a_picture_that_is_missing_ends_the_work_before_it_starts_unless_the_model_is_blind(
    tv: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = papers_archives.write(tmp_path / "archives", leave_out=frozenset({2}))
    pulled = tv("tasks", "pull", "--annotations", made.annotations, "--images", made.images, "-o", tmp_path / "t")
    assert pulled.err.count("cannot be read: no such file or directory") == 6
    ran = tv("paper", "table2", "--data", tmp_path / "t", *SMALL)
    assert (ran.code, ran.out) == (3, "")
    assert "no such file or directory" in ran.err
    monkeypatch.setattr("tvcli.models.opening.FakeEngine", lambda: FakeEngine(vision=False))
    assert tv("paper", "table2", "--data", tmp_path / "t", *SMALL).code == 0


def test_answers_of_other_data_in_the_folder_are_refused_before_the_work(
    tv: Runner, by_hand: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "answers"
    assert tv("paper", "figure6", "-T", "food-color", "--limit", 2, *SMALL, "-o", folder).code == 0
    before = {path: path.read_bytes() for path in folder.iterdir()}
    ran = tv("paper", "table12", "--data", by_hand, *SMALL, "-o", folder)
    assert (ran.code, ran.out) == (2, "")
    assert "has answers for other samples of the task food-color" in ran.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_items_on_tasks_of_their_own_share_the_folder(tv: Runner, by_hand: Path, tmp_path: Path) -> None:
    """Among them are tasks of tv with the names of the paper's."""
    given = ["--data", by_hand, *SMALL, "--limit", 2, "-o", tmp_path / "answers"]
    first = tv("paper", "after-table5", "table2", *given)
    assert first.code == 0, first.err
    assert '"country-capital"' in (tmp_path / "answers" / "after-table5.jsonl").read_text("utf-8").splitlines()[0]
    again = tv("paper", "after-table5", "table2", *given)
    assert (again.code, again.out) == (0, first.out)


def test_items_that_the_data_do_not_allow_are_named_at_the_end(tv: Runner, by_hand: Path) -> None:
    ran = tv("paper", "table9", "table2", "--data", by_hand, *SMALL)
    assert [json.loads(line)["name"] for line in ran.out.splitlines()] == ["table2"]
    assert ran.code == 2
    *_, skipped, last = ran.err.splitlines()
    assert skipped.startswith("warning: skipped table9: table 9 needs wordings of each kind; country-capital has no")
    assert last == "tv: table9 cannot be made"
    alone = tv("paper", "table9", "--data", by_hand, *SMALL)
    assert (alone.code, alone.out, alone.err.count("\n")) == (2, "", 1)
