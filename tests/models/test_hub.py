"""Models from the hub, cold, warm and offline, and each fault in one sentence. On a hub on loopback."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest
from conftest import DATA, Runner
from filelock import FileLock
from local_hub import COMMIT, Asked, LocalHub, serve, sha256, stand_in

from tvcli.inputs.paper_data import ANNOTATIONS, IMAGES, REPOSITORIES
from tvcli.models.resolve import resolve

TOKEN = "hf_SecretSecretSecretSecret"
REPOSITORY = "some-org/Tiny-VLM-GGUF"
TEXT, VISION = "Tiny-VLM-Q4_K_M.gguf", "mmproj-Tiny-VLM-f16.gguf"


def tiny_gguf(path: Path, architecture: str, padding: int) -> bytes:
    """A real GGUF file without tensors; `padding` bytes of text make it as long as a test needs."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_description("x" * padding)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path.read_bytes()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A hub with one model in two quantizations; nothing is cached, no token is set, nobody waits."""
    from huggingface_hub import close_session

    kinds = {"Tiny-VLM-Q8_0.gguf": ("llama", 3), TEXT: ("llama", 300_000), VISION: ("clip", 100_000)}
    files = {name: tiny_gguf(tmp_path / name, *made) for name, made in kinds.items()}
    with serve(LocalHub({REPOSITORY: {**files, "README.md": b"# Tiny"}})) as served:
        stand_in(served, monkeypatch, tmp_path / "cache")
        yield served
    close_session()


def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / f"models--{REPOSITORY.replace('/', '--')}"


def pulled(tv: Runner, *more: object) -> list[Path]:
    ran = tv("models", "pull", REPOSITORY, *more)
    assert ran.code == 0, ran.err
    return [Path(line) for line in ran.out.splitlines()]


# -- as it should be --------------------------------------------------------------------------------------


def test_cold_the_right_files_are_fetched_into_the_hubs_cache(tv: Runner, hub: LocalHub, tmp_path: Path) -> None:
    text, vision = pulled(tv)
    assert (text.name, vision.name) == (TEXT, VISION)
    assert text.read_bytes() == hub.files[REPOSITORY][TEXT]
    assert vision.read_bytes() == hub.files[REPOSITORY][VISION]
    assert text.parent == cache(tmp_path) / "snapshots" / COMMIT
    assert not list(cache(tmp_path).rglob("*.incomplete"))
    from huggingface_hub import try_to_load_from_cache

    assert try_to_load_from_cache(REPOSITORY, TEXT, cache_dir=tmp_path / "cache") == str(text)


def test_warm_nothing_is_transferred_and_using_it_asks_nothing(tv: Runner, hub: LocalHub) -> None:
    first = pulled(tv)
    hub.requests.clear()
    assert pulled(tv) == first
    assert [request.part for request in hub.requests] == ["api"]
    hub.requests.clear()
    files = resolve(REPOSITORY)
    assert [files.text, files.vision] == first
    assert tv("models", "path", REPOSITORY).out.splitlines() == [str(path) for path in first]
    assert hub.requests == []


def test_offline_what_is_here_works_and_what_is_not_says_so(
    tv: Runner, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pulled(tv)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert pulled(tv) == first
    ran = tv("models", "pull", "other/model")
    assert ran.code == 3
    assert "other/model is not on this machine, and HF_HUB_OFFLINE forbids fetching it" in ran.err
    assert hub.requests == []


def test_a_quantization_can_be_asked_for_in_two_ways(tv: Runner, hub: LocalHub) -> None:
    assert pulled(tv, "--quant", "q8_0")[0].name == "Tiny-VLM-Q8_0.gguf"
    assert resolve(f"{REPOSITORY}:Q8_0").text.name == "Tiny-VLM-Q8_0.gguf"
    ran = tv("models", "pull", REPOSITORY, "--quant", "Q2_K")
    assert ran.code == 3
    assert "has no Q2_K file; it has: Q4_K_M, Q8_0" in ran.err


def test_a_model_is_fetched_when_it_is_first_used(tv: Runner, hub: LocalHub, vector_file: Path) -> None:
    ran = tv("apply", vector_file, "--text", "x", "--model", REPOSITORY)
    assert ran.code == 3  # the file has no tensors, but it came
    assert TEXT in ran.err
    assert len(hub.asked("bytes")) == 2


@pytest.fixture
def vector_file(tv: Runner, pairs_file: Path, tmp_path: Path) -> Path:
    assert tv("extract", "-e", pairs_file, "-o", tmp_path / "v.npy").code == 0
    return tmp_path / "v.npy"


def test_all_parts_of_a_split_model_come_and_the_first_is_given(tv: Runner, hub: LocalHub) -> None:
    names = [f"big-Q4_K_M-{number:05d}-of-00003.gguf" for number in (1, 2, 3)]
    hub.files[REPOSITORY] = {name: f"part {name}".encode() for name in names}
    [first] = pulled(tv)
    assert first.name == names[0]
    assert [(first.parent / name).read_text() for name in names] == [f"part {name}" for name in names]
    del hub.files[REPOSITORY][names[1]]
    ran = tv("models", "pull", REPOSITORY, "--quant", "Q4_K_M")
    assert f"does not have a part of the model: {names[1]}" in ran.err


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(
    tv: Runner, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    pulled(tv)
    assert {request.token for request in hub.asked("api") + hub.asked("resolve")} == {f"Bearer {TOKEN}"}
    assert {request.token for request in hub.asked("bytes")} == {""}


# -- interruptions ----------------------------------------------------------------------------------------


def test_a_line_that_breaks_is_taken_up_where_it_broke(tv: Runner, hub: LocalHub) -> None:
    cuts = iter([100_000, 50_000])
    hub.cut = lambda asked: next(cuts, None) if asked.path.endswith(TEXT) else None
    text, _ = pulled(tv)
    assert text.read_bytes() == hub.files[REPOSITORY][TEXT]
    ranges = [request.range for request in hub.asked("bytes") if request.path.endswith(TEXT)]
    assert ranges == ["bytes=0-", "bytes=100000-", "bytes=150000-"]
    assert hub.sent() == sum(len(hub.files[REPOSITORY][name]) for name in (TEXT, VISION))


def test_a_line_that_breaks_again_and_again_ends_in_one_sentence_and_keeps_what_came(
    tv: Runner, hub: LocalHub, tmp_path: Path
) -> None:
    kept = {"bytes=0-": 100_000}
    hub.cut = lambda asked: kept.get(asked.range, 0) if asked.path.endswith(TEXT) else None
    ran = tv("models", "pull", REPOSITORY)
    assert ran.code == 3
    assert ran.err.splitlines()[-1].endswith(f"{REPOSITORY} cannot be fetched: the connection to {hub.url} was lost")
    hub.cut = lambda asked: None
    hub.requests.clear()
    pulled(tv)
    assert [request.range for request in hub.asked("bytes") if request.path.endswith(TEXT)] == ["bytes=100000-"]


def test_a_killed_process_loses_nothing(tv: Runner, hub: LocalHub, tmp_path: Path) -> None:
    size = 8 << 20
    hub.files[REPOSITORY] = {TEXT: os.urandom(size)}
    hold = {"on": True}

    def stall(asked: Asked) -> int | None:
        return size // 2 if hold["on"] else None

    hub.cut = stall
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path),
        "HF_HUB_CACHE": str(tmp_path / "cache"),
    }
    code = (
        "from tvcli.models.hub import retries; retries.WAITS = (60.0,); "
        f"from tvcli.cli import main; main(['models', 'pull', '{REPOSITORY}'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"trying again in 60 s" in process.stderr.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hold["on"] = False
    hub.requests.clear()
    [text] = pulled(tv)
    assert text.read_bytes() == hub.files[REPOSITORY][TEXT]
    [rest] = hub.asked("bytes")
    assert rest.range == f"bytes={size // 2}-"
    assert rest.sent == size // 2


def test_two_processes_do_not_fetch_the_same_file(
    tv: Runner, hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = sha256(hub.files[REPOSITORY][TEXT])
    lock, blob = cache(tmp_path).parent / ".locks" / cache(tmp_path).name / f"{etag}.lock", cache(tmp_path) / "blobs"
    for folder in (lock.parent, blob):
        folder.mkdir(parents=True)
    other = FileLock(lock)
    other.acquire()

    def finish(sentence: str) -> None:
        said.append(sentence)
        (blob / etag).write_bytes(hub.files[REPOSITORY][TEXT])
        other.release()

    said: list[str] = []
    monkeypatch.setattr("tvcli.models.hub.transfer.SILENT_WAIT", 0.01)
    monkeypatch.setattr("tvcli.cli.output.out.note", finish)
    pulled(tv)
    assert said == [f"another process is fetching {TEXT}; waiting for it"]
    assert not [request for request in hub.asked("bytes") if request.path.endswith(TEXT)]


def test_a_server_without_ranges_sends_all_again_and_the_file_is_right(tv: Runner, hub: LocalHub) -> None:
    cuts = iter([100_000])
    hub.ranges, hub.cut = False, lambda asked: next(cuts, None) if asked.path.endswith(TEXT) else None
    text, _ = pulled(tv)
    assert text.read_bytes() == hub.files[REPOSITORY][TEXT]


# -- damage -----------------------------------------------------------------------------------------------


def test_a_file_with_a_wrong_hash_is_never_used(tv: Runner, hub: LocalHub, tmp_path: Path) -> None:
    hub.damage = True
    ran = tv("models", "pull", REPOSITORY)
    assert ran.code == 3
    assert f"{VISION} of {REPOSITORY} arrived damaged" in ran.err
    assert not [path for path in cache(tmp_path).rglob("*") if path.is_file() and path.suffix != ".lock"]
    hub.damage = False
    pulled(tv)


@pytest.mark.parametrize(
    ("spoil", "more"), [(lambda data: data[:-1], []), (lambda data: data[:-1] + b"?", ["--verify"])]
)
def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(
    tv: Runner, hub: LocalHub, spoil: Any, more: list[str]
) -> None:
    text, _ = pulled(tv)
    text.resolve().write_bytes(spoil(text.read_bytes()))
    ran = tv("models", "pull", REPOSITORY, *more)
    assert f"{TEXT} in the cache is damaged; fetching it again" in ran.err
    assert text.read_bytes() == hub.files[REPOSITORY][TEXT]


def test_a_file_that_the_catalog_knows_otherwise_is_refused(
    tv: Runner, hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TV_MODELS_DIR", str(tmp_path))
    entry = 'description = "x"\nlicense = "x"\n[hub]\nrepository = "{}"\ntext = {{ file = "{}", sha256 = "{}" }}\n'
    (tmp_path / "known.toml").write_text(entry.format(REPOSITORY, TEXT, sha256(hub.files[REPOSITORY][TEXT])))
    (tmp_path / "other.toml").write_text(entry.format(REPOSITORY, TEXT, sha256(b"another")))
    (tmp_path / "gone.toml").write_text(entry.format(REPOSITORY, "gone.gguf", ""))
    assert tv("models", "pull", "known").code == 0
    assert tv("models", "path", "other").code == 0  # the same file, by name; it is at the pull that hashes are compared
    hub.files[REPOSITORY][TEXT] = b"GGUF, but another"
    assert "is not the file that the catalog describes" in tv("models", "pull", "other").err
    ran = tv("models", "pull", "gone")
    assert (ran.code, "has no file gone.gguf at revision main" in ran.err) == (3, True)


# -- refusals ---------------------------------------------------------------------------------------------

API, FILE = "api", "resolve"
REFUSALS = [
    # where, status, headers, token, words
    (API, 404, {"X-Error-Code": "RepoNotFound"}, "", "there is no repository some-org/Tiny-VLM-GGUF on http"),
    (API, 401, {"X-Error-Code": "RepoNotFound"}, "", "there is no repository some-org/Tiny-VLM-GGUF on http"),
    (API, 401, {"X-Error-Message": "Invalid credentials in Authorization header"}, TOKEN, "refuses the token (401)"),
    (API, 404, {"X-Error-Code": "RevisionNotFound"}, "", "has no revision main"),
    (FILE, 401, {"X-Error-Code": "GatedRepo"}, "", "its terms at {url}/some-org/Tiny-VLM-GGUF; then set HF_TOKEN"),
    (FILE, 403, {"X-Error-Code": "GatedRepo"}, TOKEN, "its terms at {url}/some-org/Tiny-VLM-GGUF; your token's"),
    (FILE, 403, {}, TOKEN, "access to some-org/Tiny-VLM-GGUF is forbidden (403)"),
    (FILE, 404, {"X-Error-Code": "EntryNotFound"}, "", "does not have a file that it lists"),
    (API, 403, {"X-Error-Message": "Access to this resource is disabled."}, "", "has been disabled"),
    (API, 429, {}, "", "received too many requests (429); try again later"),
    (FILE, 429, {"Retry-After": "3600"}, "", "received too many requests (429) and asks to wait 3600 s"),
    (API, 429, {"ratelimit": '"api";r=0;t=250'}, TOKEN, "received too many requests (429) and asks to wait 250 s"),
    (API, 503, {}, "", "cannot be fetched: {url} answered 503"),
    (FILE, 500, {}, "", "cannot be fetched: {url} answered 500"),
    (FILE, 418, {}, "", "cannot be fetched: {url} answered 418"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "status", "headers", "token", "words"), REFUSALS)
def test_a_refusal_is_one_sentence_that_says_what_to_do(
    tv: Runner, hub: LocalHub, monkeypatch: pytest.MonkeyPatch,
    where: str, status: int, headers: dict[str, str], token: str, words: str,
) -> None:  # fmt: skip
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    hub.refuse = lambda asked: (status, headers) if asked.part == where else None
    ran = tv("models", "pull", REPOSITORY)
    assert ran.code == 3
    *warnings, sentence = ran.err.splitlines()
    assert sentence.startswith("tv: ")
    assert words.format(url=hub.url) in sentence
    assert all(line.startswith("warning: ") for line in warnings)
    assert "SecretSecret" not in ran.err


@pytest.mark.parametrize(("part", "headers"), [(API, {}), (FILE, {}), (API, {"Retry-After": "0"})])
def test_a_hub_that_is_busy_for_a_moment_is_asked_again(
    tv: Runner, hub: LocalHub, part: str, headers: dict[str, str]
) -> None:
    answers = iter([429, 503])

    def refuse(asked: Asked) -> tuple[int, dict[str, str]] | None:
        status = next(answers, None) if asked.part == part else None
        return None if status is None else (status, headers)

    hub.refuse = refuse
    ran = tv("models", "pull", REPOSITORY)
    assert ran.code == 0
    assert ran.err.count("trying again in 0 s") == 2


def test_a_dead_host_is_said_at_once_and_what_is_here_is_used(
    tv: Runner, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pulled(tv)
    with socket.socket() as free:  # nobody listens there
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", dead)
        monkeypatch.setattr(time, "sleep", pytest.fail)
        ran = tv("models", "pull", "other/model")
        assert (ran.code, ran.err) == (3, f"tv: other/model cannot be fetched: {dead} cannot be reached\n")
        ran = tv("models", "pull", REPOSITORY)
        assert (ran.code, ran.out.splitlines()) == (0, [str(path) for path in first])
        assert f"{dead} cannot be reached; using the files on this machine" in ran.err


def test_a_host_that_never_answers_is_given_up(tv: Runner, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvcli.models.hub.remote.TIMEOUT", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        ran = tv("models", "pull", REPOSITORY)
    assert ran.code == 3
    assert ran.err.splitlines()[-1] == f"tv: {REPOSITORY} cannot be fetched: {url} does not answer"


@pytest.mark.parametrize("endpoint", ["ftp://x", "nonsense", "http://exa mple", "http://[", ""])
def test_an_endpoint_that_is_none_is_said(
    tv: Runner, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    ran = tv("models", "pull", REPOSITORY)
    assert ran.code == 3
    assert len(ran.err.splitlines()) == 1


def test_the_password_in_an_endpoint_is_not_shown(tv: Runner, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url.replace("://", "://me:SecretSecret@"))
    hub.refuse = lambda asked: (404, {})
    ran = tv("models", "pull", REPOSITORY)
    assert hub.url in ran.err
    assert "Secret" not in ran.err


@pytest.mark.parametrize("token", [f"{TOKEN}é", f"{TOKEN}\nX: y", f"{TOKEN}\udcff"])
def test_a_token_that_cannot_be_sent_is_not_shown_either(
    tv: Runner, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("TV_DEBUG", "1")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: token)
    ran = tv("models", "pull", REPOSITORY)
    assert ran.code == 3
    assert "HF_TOKEN" in ran.err
    assert "SecretSecret" not in ran.err


def test_too_small_a_disk_is_said_before_the_first_byte(
    tv: Runner, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 300_000}))
    ran = tv("models", "pull", REPOSITORY)
    assert ran.code == 3
    assert f"{REPOSITORY} needs 400 kB, but the disk of " in ran.err
    assert "has 300 kB free; free some space, or set HF_HOME" in ran.err
    assert hub.asked("bytes") == []


def test_a_cache_that_cannot_be_written_is_said(tv: Runner, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/dev/null/cache")
    ran = tv("models", "pull", REPOSITORY)
    assert ran.code == 3
    assert f"{REPOSITORY} cannot be written to the cache: " in ran.err


@pytest.mark.parametrize(
    "change",
    [
        {"sha": "../../evil"},
        {"sha": None},
        {"siblings": [{"rfilename": "../../../evil-Q8_0.gguf", "size": 1, "blobId": "a" * 40}]},
        {"siblings": [{"rfilename": "/evil-Q8_0.gguf", "size": 1, "blobId": "a" * 40}]},
        {"siblings": [{"rfilename": "evil-Q8_0.gguf", "size": 1, "blobId": "../../evil"}]},
        {"siblings": [{"rfilename": "evil-Q8_0.gguf", "size": "x", "blobId": "a" * 40}]},
        {"siblings": 3},
        {"siblings": [{}]},
    ],
)
def test_a_hostile_hub_writes_nothing(
    tv: Runner, hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    dumps = json.dumps
    monkeypatch.setattr("local_hub.json.dumps", lambda record: dumps({**record, **change}))
    ran = tv("models", "pull", REPOSITORY)
    assert ran.code == 3
    assert len(ran.err.splitlines()) == 1
    assert not (tmp_path / "cache").exists()
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("name", ["a--b/c", "-x/y", "x/y.git", "../..", "a/b/c", "a b/c"])
def test_a_name_that_no_repository_can_have_is_said(tv: Runner, hub: LocalHub, name: str) -> None:
    ran = tv("models", "pull", "--", name)
    assert ran.code == 3
    assert len(ran.err.splitlines()) == 1
    assert hub.requests == []


# -- data sets --------------------------------------------------------------------------------------------


def test_the_papers_data_come_the_same_way_and_from_its_earlier_name_too(
    tv: Runner, hub: LocalHub, tmp_path: Path
) -> None:
    archives = {}
    for name, member in ((ANNOTATIONS, "t_test.json"), (IMAGES, "unused.png")):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(member, '[{"input": "a", "output": "b"}]')
        archives[name] = buffer.getvalue()
    ran = tv("tasks", "pull", "-o", tmp_path / "tasks")
    assert (ran.code, REPOSITORIES[0] in ran.err) == (3, True)
    hub.files[f"datasets/{REPOSITORIES[1]}"] = archives
    assert tv("tasks", "pull", "-o", tmp_path / "tasks").code == 0
    assert (tmp_path / "tasks" / "t" / "task.toml").is_file()
    hub.requests.clear()
    assert tv("tasks", "pull", "-o", tmp_path / "tasks").code == 0
    assert hub.asked("bytes") == []


# -- the last mile ----------------------------------------------------------------------------------------


@pytest.mark.model
def test_a_model_from_the_hub_answers_as_the_same_files_do(tv: Runner, hub: LocalHub, tmp_path: Path) -> None:
    here = resolve("picto")
    assert here.vision is not None
    names = {"gemma-3-270m-Q4_K_M.gguf": here.text, "mmproj-picto-f16.gguf": here.vision}
    hub.files[REPOSITORY] = {name: path.read_bytes() for name, path in names.items()}
    answers = []
    for model in ("picto", REPOSITORY):
        made = tv("extract", "-e", DATA / "capitals.txt", "-o", tmp_path / "v.npy", "--threads", 1, model=model)
        assert made.code == 0, made.err
        flag = DATA / "flags" / "fr.png"
        answers.append(
            tv("apply", tmp_path / "v.npy", "-i", flag, "-n", 1, "--layer", 11, "--threads", 1, model=model).out
        )
    assert answers == ["Paris\n", "Paris\n"]
    assert len(hub.asked("bytes")) == 2
