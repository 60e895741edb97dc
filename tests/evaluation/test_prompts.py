"""The prompt of an evaluated query: alone, after examples, after an instruction."""

from __future__ import annotations

import planted
from known_answers import TASK, WORDS, made_task, setup_of

from tvcli.evaluation.prompts import few_shot_prompts, zero_shot_prompts
from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.inputs.tasks import find_task
from tvcli.kinds import Modality, Source


def test_prompts_show_other_samples_and_never_the_querys_own_answer() -> None:
    setup = Setup((TASK,), transfers=(WORDS,), shots=5)
    ask = few_shot_prompts(setup, TASK, WORDS, Variant(1))
    texts = [str(ask(n, sample).parts[0]) for n, sample in enumerate(TASK.test)]
    for text, sample in zip(texts, TASK.test, strict=True):
        assert text.count("Q:") == 6
        assert text.endswith(f"Q:{sample.input}\nA:")
        assert f"A:{sample.outputs[0]}\n" not in text
    assert len({text.rsplit("Q:", 1)[0] for text in texts}) > 30  # drawn anew for each
    again = few_shot_prompts(setup, TASK, WORDS, Variant(1))
    assert str(again(3, TASK.test[3]).parts[0]) == texts[3]
    assert str(few_shot_prompts(setup, TASK, WORDS, Variant(2))(3, TASK.test[3]).parts[0]) != texts[3]


def test_an_instruction_stands_before_the_query_that_it_prompts() -> None:
    setup = Setup((TASK,))
    told, both_ways = (Transfer(source, Modality.TEXT) for source in (Source.INSTRUCTION, Source.ENSEMBLE))
    [text] = few_shot_prompts(setup, TASK, told, Variant(wording="Say y:"))(0, TASK.test[0]).parts
    assert text == f"Say y:\n\nQ:{TASK.test[0].input}\nA:"
    [both] = few_shot_prompts(setup, TASK, both_ways, Variant(1, "Say y:"))(0, TASK.test[0]).parts
    assert str(both).startswith("Say y:\n\nQ:")
    assert str(both).count("Q:") == 6


def test_examples_are_drawn_by_seed_and_number_from_the_other_test_samples() -> None:
    setup, one = setup_of(shots=3), made_task(test=12)
    makers = [few_shot_prompts(setup, one, WORDS, Variant(seed)) for seed in (1, 2)]
    asked = [make_prompt(n, one.test[n]).parts[0] for make_prompt in makers for n in (0, 1)]
    assert len({str(text).rsplit("Q:", 1)[0] for text in asked}) == 4
    assert all(str(text).count("Q:") == 4 for text in asked)
    few = made_task(test=3)
    assert str(few_shot_prompts(setup, few, WORDS, Variant(1))(0, few.test[0]).parts[0]).count("Q:") == 3


def test_pictures_are_shown_where_they_are_asked_for() -> None:
    with planted.planted():
        one = find_task("alpha")
        setup = Setup((one,), shots=2)
        first = {source: setup.variants(source, one)[0] for source in Source}
        made = {
            (source, modality): few_shot_prompts(setup, one, Transfer(source, modality), first[source])(0, one.test[0])
            for source in Source
            for modality in Modality
        }
        bare = [zero_shot_prompts(setup, one, modality)(0, one.test[0]) for modality in Modality]
    assert [len(prompt.images) for prompt in bare] == [0, 1]
    assert bare[0].parts == ("Q:alpha6\nA:",)
    assert [len(prompt.images) for prompt in made.values()] == [0, 1, 2, 3, 0, 1, 0, 1]
    assert str(made[Source.TEXT, Modality.TEXT].parts[0]).startswith("Q:alpha")
    assert made[Source.IMAGE, Modality.TEXT].parts[0] == "Q:"
    assert made[Source.INSTRUCTION, Modality.TEXT].parts == ("Say alpha:\n\nQ:alpha6\nA:",)
    assert made[Source.INSTRUCTION, Modality.IMAGE].parts[0] == "Say alpha:\n\nQ:"


def test_an_instruction_is_said_in_its_wording_and_an_ensembles_in_the_first() -> None:
    one = made_task(wordings={"typo": ("Sya:", "Asy:")})
    setup = Setup((one,), wording="typo", against={"t": made_task("o")})
    told_by, shown_by = (Transfer(source, Modality.TEXT) for source in (Source.INSTRUCTION, Source.ENSEMBLE))
    wordings = setup.variants(Source.INSTRUCTION, one)
    assert wordings == (Variant(wording="Sya:"), Variant(wording="Asy:"))
    [told] = few_shot_prompts(setup, one, told_by, wordings[1])(0, one.test[0]).parts
    assert told == "Asy:\n\nSay y:\n\nQ:x6\nA:"
    both_ways = setup.variants(Source.ENSEMBLE, one)
    assert both_ways == tuple(Variant(seed, "Sya:") for seed in (1, 2, 3))
    assert setup.variants(Source.IMAGE, one) == tuple(map(Variant, (1, 2, 3)))
    [both] = few_shot_prompts(setup, one, shown_by, both_ways[1])(0, one.test[0]).parts
    assert str(both).startswith("Sya:\n\nSay y:\n\nQ:")
