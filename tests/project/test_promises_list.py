"""The tests that `tests/promises.md` names are there."""

import re

from conftest import ROOT

NAMED = re.compile(r"\btest_\w+")


def test_every_promise_names_tests_that_exist() -> None:
    files = list((ROOT / "tests").rglob("test_*.py"))
    known = {path.stem for path in files}
    known |= {name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)}
    named = set(NAMED.findall((ROOT / "tests" / "promises.md").read_text("utf-8")))
    assert len(named) > 60
    assert [name for name in sorted(named) if not any(one.startswith(name) for one in known)] == []
