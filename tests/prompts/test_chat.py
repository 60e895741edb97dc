"""Chat templates: a hostile one ends without harm, a useful one is rendered once a shape."""

import ctypes
from pathlib import Path

import patched_library
import pytest

from tvcli.errors import TvError
from tvcli.images import load_image
from tvcli.models.catalog import catalog
from tvcli.prompts.chat import NAMED, Chat, chat_of

pytestmark = pytest.mark.timeout(60)  # seconds, after which an input counts as endless


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "takes longer than|time"),
        ("{{ 'a' * 10**10 }}", "memory"),
        ("{{ 'a'.ljust(10**10) }}", "memory"),
        ("{{ '%10000000000d' % 1 }}", "memory|too big"),
        ("{{ 10 ** (10 ** 10) }}", "time|memory|longer than"),
        ("{{ 'a' * 2000000 }}", "renders to 2000000 characters"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe|no attribute|undefined"),
        ("{{ cycler.__init__.__globals__.os.system('touch pwned') }}", "unsafe|no attribute|undefined"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ raise_exception('no') }}", "no"),
        ("{% for %}", "xpected"),
        ("\ue0007\ue001", "invents messages"),
        ("{{ messages[0].role }}", "leaves out messages"),
        ("{{ strftime_now('%' ~ 'x' * 10) * 10**9 }}", "memory|renders to"),
    ],
)
def test_a_hostile_chat_template_ends_without_harm(
    template: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tvcli.prompts.jinja_process.SECONDS", 3)
    with pytest.raises(TvError, match=words) as caught:
        Chat(template).render([("x", None)])
    assert str(caught.value).startswith("the model's chat template cannot be used: ")
    assert list(tmp_path.iterdir()) == []


def test_a_useful_chat_template_is_rendered_once_a_shape() -> None:
    template = "{% for m in messages %}<{{ m.role }}>{{ m['content'] | trim }}{% endfor %}"
    prompt = Chat(template).render([("x {{ 1 }}", "y"), ("z", None)], system="s")
    assert "".join(map(str, prompt.parts)) == "<system>s<user>x {{ 1 }}<assistant>y<user>z"


def test_a_question_and_its_image_are_one_message(picture: Path) -> None:
    template = "{% for m in messages %}<{{ m.role }}>{{ m['content'] | trim }}{% endfor %}"
    image = load_image(picture)
    prompt = Chat(template).render([((image, "What?"), "y"), ((image, "Which?"), None)], system="s")
    assert prompt.parts == ("<system>", "s", "<user>", image, "What?", "<assistant>", "y", "<user>", image, "Which?")


ROLES = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
LISTED = "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}A:"


def shown(template: str, system: str = "") -> str:
    return "".join(map(str, Chat(template, "<s>", "</s>").render([("x1", "y1"), ("x2", None)], system).parts))


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for m in messages %}{% if loop.index0 == 3 %}{% break %}{% endif %}{{ m.content }}{% endfor %}", "x1y1x2"),
        ("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %} {% endfor %}:", "x1 y1 x2 :"),
        ("{{ strftime_now('%d %b %Y') }}" + ROLES, "26 Jul 2024<user>x1<assistant>y1<user>x2<assistant>"),
        ("{% for m in messages %}{{ m.content | tojson(ensure_ascii=False) }}{% endfor %}:", '"x1""y1""x2":'),
        (
            "{% for m in messages %}{{ [bos_token, m.content, eos_token] | join }}{% endfor %}:",
            "<s>x1</s><s>y1</s><s>x2</s>:",
        ),
    ],
)
def test_templates_have_what_transformers_gives_them(template: str, words: str) -> None:
    assert shown(template) == words


def test_a_template_for_lists_gets_lists(picture: Path) -> None:
    assert shown(LISTED, "s") == "<system>s<user>x1<assistant>y1<user>x2A:"
    image = load_image(picture)
    assert Chat(LISTED).render([((image, "What?"), None)]).parts == ("<user>", image, "What?", "A:")


@pytest.mark.parametrize(
    "refuses",
    [
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + ROLES,
        "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>",
    ],
)
def test_a_system_text_that_a_template_does_not_take_goes_before_the_first_question(refuses: str) -> None:
    assert shown(refuses, "s") == "<user>s\n\nx1<assistant>y1<user>x2<assistant>"


@pytest.mark.parametrize(
    ("opened", "closed"),
    [
        ("<think>\n", "<think>\n\n</think>\n\n"),
        ("<think>", "<think>\n\n</think>\n\n"),
        ("[THINK]", "[THINK]\n\n[/THINK]\n\n"),
        ("<think></think>", "<think></think>"),
        ("{% if enable_thinking %}<think>{% else %}no{% endif %}", "no"),
        ("{% if thinking is undefined %}<think>{% endif %}no", "no"),
    ],
)
def test_the_model_is_not_left_thinking(opened: str, closed: str) -> None:
    assert shown(ROLES + opened).endswith(f"<user>x2<assistant>{closed}")


def llama_cpp_says(name: str, messages: list[tuple[str, str]]) -> str:
    """What llama.cpp's own function makes of messages in one of its templates."""
    made = ctypes.CDLL(str(patched_library.library("llama"))).llama_chat_apply_template
    fields = (ctypes.c_char_p * (2 * len(messages)))(*(text.encode() for message in messages for text in message))
    made.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_bool, ctypes.c_char_p, ctypes.c_int32]
    buffer = ctypes.create_string_buffer(4096)
    length = made(name.encode(), fields, len(messages), True, buffer, len(buffer))
    return buffer.raw[:length].decode()


@pytest.mark.parametrize("name", NAMED)
def test_a_named_template_is_what_llama_cpp_makes_of_the_same_messages(name: str) -> None:
    said = llama_cpp_says(name, [("system", "s"), ("user", "x1"), ("assistant", "y1"), ("user", "x2")])
    assert len(said) > 20
    assert "".join(map(str, Chat(NAMED[name]).render([("x1", "y1"), ("x2", None)], system="s").parts)) == said


def test_results_say_which_template_was_used() -> None:
    assert Chat(NAMED["vicuna"]).name == "chat: vicuna"
    assert Chat("{{ messages }}").name == "chat"


def test_the_files_template_goes_before_the_catalogs_and_chatml_comes_last() -> None:
    own = Chat("own", "<s>", "</s>")
    assert chat_of(own, "vicuna") == (own, "the model's own template")
    said = "the vicuna template that the catalog names, since the file has none"
    assert chat_of(None, "vicuna") == (Chat(NAMED["vicuna"]), said)
    for known in ("", "its own, in the file"):
        assert chat_of(None, known) == (Chat(NAMED["chatml"]), "ChatML, since the model has no template")


def test_the_catalog_names_templates_that_there_are() -> None:
    templates = {entry.name: entry.template for entry in catalog().values() if entry.template}
    assert templates["llava-1.5-7b"] == templates["vicuna-7b-v1.5"] == "vicuna"
    assert set(templates.values()) <= {*NAMED, "its own, in the file"}
