"""The paper's own numbers, typed a second time."""

from __future__ import annotations

import numpy as np
import pytest

from tvcli.paper.numbers import averages, paper_numbers

NUMBERS = """
table2 average LLaVA-1.5-7B no context 0.00 prompt 0.18 patch 0.32
table2 average Mantis-Fuyu-8B no context 0.00 prompt 0.09 patch 0.31
table2 average Idefics2-8B no context 0.01 prompt 0.18 patch 0.51
table2 average Random majority 0.14
table2 tasks LLaVA-1.5-7B prompt .02 .18 .03 .23 .28 .37 patch .31 .30 .26 .18 .53 .31
table2 tasks Mantis-Fuyu-8B prompt .09 .06 .08 .02 .23 .04 patch .32 .23 .36 .09 .51 .36
table2 tasks Idefics2-8B prompt .11 .03 .41 .13 .21 .18 patch .61 .40 .48 .62 .53 .39
table2 tasks Random majority .00 .12 .00 .18 .24 .31
table3 average Vicuna → LLaVA-1.5 llm .37 vlm .32
table3 average Mistral → Idefics2 llm .52 vlm .51
table3 tasks Vicuna → LLaVA-1.5 llm .33 .32 .25 .33 .53 .45
table3 tasks Mistral → Idefics2 llm .58 .57 .46 .55 .54 .39
table12 average Idefics2-8B image → image .31 text → image .51 text → text .65 image → text .42
table12 average Mantis-Fuyu-8B image → image .20 text → image .31 text → text .34 image → text .25
table12 average LLaVA-1.5-7B text → image .32 text → text .59
table10 average Idefics2-8B no context .01 image prompt .44 prompt .15 patch .54
"""


def test_the_papers_numbers_are_the_papers() -> None:
    """Typed once more from the sources; compared as words, whatever their order in the file."""
    known = paper_numbers()
    lines = [line.split() for line in NUMBERS.strip().splitlines()]
    for table in ("table2", "table3", "table10", "table12"):
        for kind, models in known[table].items():
            for model, columns in models.items():
                said = " ".join([table, kind, model])
                [typed] = [" ".join(line) for line in lines if " ".join(line).startswith(f"{said} ")]
                numbers = [float(word) for word in typed.removeprefix(said).split() if word[0] in ".01"]
                listed = [n for value in columns.values() for n in (value if isinstance(value, list) else [value])]
                assert numbers == listed, said
    counts = [len(models) for name in ("table2", "table3", "table10", "table12") for models in known[name].values()]
    assert sum(counts) == len(lines)
    assert known["table7"] == {
        "prompt, 30 long examples": {"seconds": 2.20, "megabytes": 20020},
        "patch": {"seconds": 0.20, "megabytes": 8210},
    }


@pytest.mark.parametrize(
    ("table", "model", "column"),
    [
        ("table2", "LLaVA-1.5-7B", "prompt"),
        ("table2", "LLaVA-1.5-7B", "patch"),
        ("table2", "Mantis-Fuyu-8B", "prompt"),
        ("table2", "Mantis-Fuyu-8B", "patch"),
        ("table2", "Idefics2-8B", "prompt"),
        ("table2", "Idefics2-8B", "patch"),
        ("table2", "Random", "majority"),
        ("table3", "Vicuna → LLaVA-1.5", "llm"),
        ("table3", "Mistral → Idefics2", "llm"),
    ],
)
def test_the_papers_averages_are_those_of_its_tasks(table: str, model: str, column: str) -> None:
    numbers = paper_numbers()[table]
    assert np.mean(numbers["tasks"][model][column]) == pytest.approx(numbers["average"][model][column], abs=0.0051)


def test_the_papers_averages_are_a_table_by_model() -> None:
    assert averages("table3") == paper_numbers()["table3"]["average"]
