"""The paper's template, and which examples stand where."""

from pathlib import Path

import pytest

from tvcli.errors import UsageError
from tvcli.images import load_image
from tvcli.prompts.prompt import (
    Control,
    Example,
    Prompt,
    QuestionAnswer,
    few_shot,
    in_context,
    instruction,
    others_than,
    prompt_of,
    sample_in_context,
    zero_shot,
)

EXAMPLES = [Example(letter, letter.upper()) for letter in "abcd"]
OTHER = QuestionAnswer("In:{x}\nOut:")


def test_a_query_is_the_papers_template() -> None:
    assert zero_shot("Greece").parts == ("Q:Greece\nA:",)


def test_braces_in_a_query_are_text() -> None:
    assert zero_shot("{x}{y}").parts == ("Q:{x}{y}\nA:",)


def test_examples_come_answered_and_the_last_one_open() -> None:
    assert in_context(EXAMPLES[:3]).parts == ("Q:a\nA:A\n\nQ:b\nA:B\n\nQ:c\nA:",)


def test_an_image_takes_the_inputs_place(picture: Path) -> None:
    image = load_image(picture)
    assert zero_shot(image).parts == ("Q:", image, "\nA:")
    assert in_context([Example(image, "red"), EXAMPLES[0]]).parts == ("Q:", image, "\nA:red\n\nQ:a\nA:")


def test_a_question_stands_right_behind_its_image(picture: Path) -> None:
    """As in the paper's demo: ``Q:<image>What is on top of the meat?`` and ``A:``."""
    image = load_image(picture)
    asked = (image, "What is it?")
    assert zero_shot(asked).parts == ("Q:", image, "What is it?\nA:")
    shown = Example(asked, "red")
    assert in_context([shown, EXAMPLES[0]]).parts == ("Q:", image, "What is it?\nA:red\n\nQ:a\nA:")
    assert shown.is_image
    assert not Example(("a", "What is it?"), "b").is_image


def test_the_same_image_with_another_question_is_the_same_example(picture: Path) -> None:
    """Its answer may be the query's; the same question about another image is another example."""
    image = load_image(picture)
    examples = [Example((image, "What?"), "red"), Example(("x", "Which?"), "y")]
    assert others_than((image, "Which?"), examples) == examples[1:]


@pytest.mark.parametrize("text", ["The capital city of the country:", "The capital city of the country", " x : "])
def test_an_instruction_ends_in_one_colon(text: str) -> None:
    [prompt] = instruction(text).parts
    assert str(prompt).endswith(":")
    assert not str(prompt)[:-1].rstrip().endswith(":")


@pytest.mark.parametrize("text", ["", "  ", ":", " : "])
def test_an_empty_instruction_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        instruction(text)


def test_a_prompt_must_end_in_text(picture: Path) -> None:
    for parts in [(), ("Q:", load_image(picture)), ("",)]:
        with pytest.raises(UsageError, match="delimiter"):
            prompt_of(*parts)


def last_inputs(prompts: list[Prompt]) -> list[str]:
    return [str(prompt.parts[0]).split("Q:")[-1][0] for prompt in prompts]


def test_every_example_takes_one_turn_as_the_last() -> None:
    prompts = sample_in_context(EXAMPLES, shots=3, prompts=None, seed=1)
    assert last_inputs(prompts) == ["a", "b", "c", "d"]
    assert all(str(prompt.parts[0]).count("Q:") == 3 for prompt in prompts)


def test_no_prompt_holds_an_example_twice() -> None:
    for prompt in sample_in_context(EXAMPLES, shots=4, prompts=20, seed=3):
        inputs = [block[0] for block in str(prompt.parts[0]).split("Q:")[1:]]
        assert sorted(inputs) == ["a", "b", "c", "d"]


def test_turns_go_round_when_more_prompts_than_examples_are_wanted() -> None:
    prompts = sample_in_context(EXAMPLES, shots=2, prompts=10, seed=1)
    turns = last_inputs(prompts)
    assert len(turns) == 10
    assert sorted(turns[:4]) == ["a", "b", "c", "d"]
    assert turns[:4] == turns[4:8]


def test_the_seed_decides() -> None:
    def sample(seed: int) -> list[Prompt]:
        return sample_in_context(EXAMPLES, shots=3, prompts=6, seed=seed)

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_a_few_shot_prompt_never_shows_the_querys_own_answer() -> None:
    for seed in range(10):
        text = str(few_shot("a", EXAMPLES, shots=9, seed=seed).parts[0])
        assert "Q:a\nA:A" not in text
        assert text.count("Q:") == 4


def test_a_system_text_stands_first() -> None:
    assert few_shot("a", [], shots=5, seed=1, system="Be brief.").parts == ("Be brief.\n\nQ:a\nA:",)


def test_neighboring_texts_become_one_and_the_text_of_a_template_stays_apart(picture: Path) -> None:
    image = load_image(picture)
    prompt = prompt_of("", "a", "b", Control("<x>"), Control(""), Control("<y>"), "c", "", "d", image, "", "e")
    assert prompt.parts == ("ab", "<x>", "<y>", "cd", image, "e")
    assert [type(part) for part in prompt.parts[:4]] == [str, Control, Control, str]
    assert prompt.images == (image,)


def test_an_instruction_keeps_its_words_and_says_what_is_missing() -> None:
    assert instruction("  The capital of: France :: ").parts == ("The capital of: France:",)
    assert instruction("MIX:").parts == ("MIX:",)
    with pytest.raises(UsageError) as caught:
        instruction(":")
    assert str(caught.value) == "the instruction is empty"
    with pytest.raises(UsageError) as caught:
        prompt_of()
    assert str(caught.value) == "a prompt must end in text, since its last token is the delimiter"


def test_an_example_knows_whether_it_is_a_picture(picture: Path) -> None:
    assert not Example("a", "A").is_image
    assert Example(load_image(picture), "A").is_image
    assert Example("a", "A").where == ""


def texts(prompts: list[Prompt]) -> list[object]:
    return [prompt.parts[0] for prompt in prompts]


def test_a_seed_stands_for_the_same_prompts_for_ever() -> None:
    assert texts(sample_in_context(EXAMPLES, shots=3, prompts=None, seed=1)) == [
        "Q:b\nA:B\n\nQ:d\nA:D\n\nQ:a\nA:",
        "Q:c\nA:C\n\nQ:a\nA:A\n\nQ:b\nA:",
        "Q:b\nA:B\n\nQ:d\nA:D\n\nQ:c\nA:",
        "Q:b\nA:B\n\nQ:c\nA:C\n\nQ:d\nA:",
    ]
    assert texts(sample_in_context(EXAMPLES, shots=2, prompts=6, seed=2, template=OTHER)) == [
        "In:c\nOut:C\n\nIn:b\nOut:",
        "In:a\nOut:A\n\nIn:c\nOut:",
        "In:c\nOut:C\n\nIn:d\nOut:",
        "In:d\nOut:D\n\nIn:a\nOut:",
        "In:c\nOut:C\n\nIn:b\nOut:",
        "In:b\nOut:B\n\nIn:c\nOut:",
    ]
    shown = few_shot("a", EXAMPLES, shots=2, seed=1, system="Be brief.", template=OTHER)
    assert shown.parts == ("Be brief.\n\nIn:b\nOut:B\n\nIn:d\nOut:D\n\nIn:a\nOut:",)


def test_a_few_shot_prompt_has_no_system_text_by_default() -> None:
    assert few_shot("a", EXAMPLES[:2], shots=1, seed=1).parts == ("Q:b\nA:B\n\nQ:a\nA:",)


def test_a_query_takes_another_form_and_a_system_text() -> None:
    assert zero_shot("a", OTHER, "Be brief.").parts == ("Be brief.\n\nIn:a\nOut:",)
    assert in_context(EXAMPLES[:2], OTHER).parts == ("In:a\nOut:A\n\nIn:b\nOut:",)
