"""Mutation testing, with mutmut, of the modules that compute results.

    pip install mutmut
    python benchmarks/mutation.py [MODULE ...] [--work FOLDER]

Works on a copy. For each module it prints how many mutants a test kills, and the survivors as in `mutmut show`.
Each module is tested with the test files that are listed here, in any folder of tests/; a mutant that none of them
reaches counts as a survivor.
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
    "tvcli/engine/batches.py": ["test_batches"],
    "tvcli/engine/protocol.py": ["test_protocol"],
    "tvcli/prompts/prompt.py": ["test_prompt"],
    "tvcli/vector.py": ["test_vector"],
    "tvcli/inputs/tasks.py": ["test_tasks", "test_task_checks", "test_tv_eval"],
    "tvcli/evaluation/prompts.py": ["test_prompts", "test_answering"],
    "tvcli/evaluation/bootstrap.py": ["test_bootstrap", "test_results"],
    "tvcli/evaluation/cells.py": ["test_cells", "test_results"],
    "tvcli/evaluation/task_checks.py": ["test_task_checks", "test_tasks"],
    "tvcli/method/similarity.py": ["test_similarity", "test_tv_compare"],
    "tvcli/paper/cost.py": ["test_cost"],
    "tvcli/cli/work/describe.py": ["test_describe"],
    "tvcli/doctor/checks.py": ["test_checks"],
    "tvcli/evaluation/answering.py": ["test_answering", "test_run"],
    "tvcli/method/extract.py": ["test_extract"],
    "tvcli/doctor/isolated.py": ["test_isolated"],
    "tvcli/method/layers.py": ["test_layers"],
    "tvcli/method/lens.py": ["test_lens"],
    "tvcli/doctor/machine.py": ["test_machine"],
    "tvcli/method/projection.py": ["test_projection"],
    "tvcli/metrics.py": ["test_metrics", "test_results", "test_answering"],
    "tvcli/paper/numbers.py": ["test_numbers"],
    "tvcli/paper/items.py": ["test_items"],
    "tvcli/paper/figures.py": ["test_figures", "test_items"],
    "tvcli/paper/tables.py": ["test_tables", "test_items"],
    "tvcli/paper/memory.py": ["test_memory"],
    "tvcli/paper/report.py": ["test_report"],
    "tvcli/evaluation/results.py": ["test_results", "test_answering", "test_records"],
    "tvcli/evaluation/run.py": ["test_run"],
    "tvcli/evaluation/setup.py": ["test_setup", "test_prompts", "test_answering"],
    "tvcli/evaluation/store.py": ["test_store"],
    "tvcli/paper/study.py": ["test_study", "test_tables"],
    "tvcli/timing.py": ["test_timing"],
    "tvcli/evaluation/vectors.py": ["test_vectors", "test_run", "test_answering"],
}
SLOW = "not kill_and_resume and not is_resumed_from and not papers_archives and not every_table_runs"
SURVIVED, UNREACHED = 0, 33  # exit codes as mutmut records them; others are failures, crashes and time-outs


def configuration(module: str) -> str:
    selected = [
        file.relative_to(ROOT).as_posix() for name in TESTS[module] for file in (ROOT / "tests").rglob(f"{name}.py")
    ]
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
        sys.exit(f"mutmut failed for {module}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
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
