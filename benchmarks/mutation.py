"""Would a test notice? Mutation testing with mutmut of the modules that the science rests on.

    pip install mutmut
    python benchmarks/mutation.py [MODULE ...] [--work FOLDER]

Works on a copy. For each module it prints how many mutants a test kills, and the survivors as `mutmut show` has them.
A module is mutated with the tests that are named here beside it; a mutant that none of them reaches counts as a
survivor.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPIED = ("tvcli", "tests", "models", "tasks", "benchmarks", "pyproject.toml", "README.md", "requirements-prebuilt.txt")
TESTS = {
    "tvcli/engine/hook.py": ["test_hook"],
    "tvcli/engine/batches.py": ["test_plan"],
    "tvcli/engine/protocol.py": ["test_arithmetic"],
    "tvcli/prompts/prompt.py": ["test_prompts"],
    "tvcli/vector.py": ["test_vector"],
    "tvcli/inputs/tasks.py": ["test_tasks", "test_results"],
    "tvcli/evaluation/prompts.py": ["test_numbers", "test_evaluate"],
    "tvcli/evaluation/bootstrap.py": ["test_numbers", "test_results"],
    "tvcli/evaluation/cells.py": ["test_numbers", "test_results"],
    "tvcli/evaluation/task_checks.py": ["test_tasks"],
    "tvcli/method/similarity.py": ["test_arithmetic"],
    "tvcli/paper/cost.py": ["test_measuring"],
    "tvcli/cli/describe.py": ["test_arithmetic"],
    "tvcli/doctor/checks.py": ["test_diagnosis"],
    "tvcli/evaluation/answering.py": ["test_numbers", "test_evaluate", "test_science"],
    "tvcli/method/extract.py": ["test_arithmetic"],
    "tvcli/doctor/isolated.py": ["test_measuring"],
    "tvcli/method/layers.py": ["test_arithmetic"],
    "tvcli/method/lens.py": ["test_arithmetic"],
    "tvcli/doctor/machine.py": ["test_diagnosis"],
    "tvcli/method/projection.py": ["test_arithmetic"],
    "tvcli/metrics.py": ["test_numbers", "test_results", "test_evaluate"],
    "tvcli/paper/numbers.py": ["test_numbers", "test_science"],
    "tvcli/paper/items.py": ["test_paper"],
    "tvcli/paper/figures.py": ["test_paper", "test_science"],
    "tvcli/paper/tables.py": ["test_paper", "test_science"],
    "tvcli/paper/memory.py": ["test_measuring"],
    "tvcli/paper/report.py": ["test_measuring"],
    "tvcli/evaluation/results.py": ["test_numbers", "test_results", "test_science"],
    "tvcli/evaluation/run.py": ["test_numbers", "test_evaluate"],
    "tvcli/evaluation/setup.py": ["test_numbers", "test_evaluate"],
    "tvcli/evaluation/store.py": ["test_store"],
    "tvcli/paper/study.py": ["test_paper"],
    "tvcli/timing.py": ["test_measuring"],
    "tvcli/evaluation/vectors.py": ["test_numbers", "test_paper", "test_evaluate"],
}
SLOW = "not kill_and_resume and not is_resumed_from and not papers_archives and not every_table_runs"
SURVIVED, UNREACHED = 0, 33  # exit codes as mutmut keeps them; others are failures, crashes and time-outs


def configuration(module: str) -> str:
    selected = [f"tests/{name}.py" for name in TESTS[module]]
    options = ["-m", "not model and not source", "-p", "no:cacheprovider", "-k", SLOW]
    settings = {
        "source_paths": ["tvcli"],
        "only_mutate": [module],
        "also_copy": [name for name in COPIED if name not in ("tvcli", "tests", "pyproject.toml")],
        "pytest_add_cli_args": options,
        "pytest_add_cli_args_test_selection": selected,
    }
    return "\n[tool.mutmut]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())


def mutate(module: str, work: Path) -> dict[str, int]:
    """mutmut's exit code for each mutant of a module, by its name."""
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, work / name)
    with (work / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(configuration(module))
    ran = subprocess.run(["mutmut", "run"], cwd=work, capture_output=True, text=True, check=False)
    kept = work / "mutants" / f"{module}.meta"
    found: dict[str, int | None] = json.loads(kept.read_text("utf-8"))["exit_code_by_key"] if kept.exists() else {}
    if not found or None in found.values():
        sys.exit(f"mutmut did not get through {module}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return {name: code for name, code in found.items() if code is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", choices=[*TESTS, []], help="by default all")
    parser.add_argument("--survivors", action="store_true", help="show each")
    options = parser.parse_args()
    total = killed = 0
    for module in options.modules or TESTS:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            codes = mutate(module, work)
            alive = [name for name, code in codes.items() if code in (SURVIVED, UNREACHED)]
            total, killed = total + len(codes), killed + len(codes) - len(alive)
            print(f"{module}: {len(codes) - len(alive)} of {len(codes)} killed", flush=True)
            for name in alive if options.survivors else ():
                shown = subprocess.run(["mutmut", "show", name], cwd=work, capture_output=True, text=True, check=False)
                lines = [line for line in shown.stdout.splitlines() if line[:3] not in ("+++", "---")]
                changed = [line for line in lines if line[:1] in ("+", "-")]
                print("\n".join([f"  {name}", *(f"    {line}" for line in changed)]), flush=True)
    print(f"{killed} of {total} killed, {killed / max(total, 1):.1%}")


if __name__ == "__main__":
    main()
