"""Chat templates: a hostile one ends without harm, a useful one is rendered once a shape."""

from pathlib import Path

import pytest

from tvcli.errors import TvError
from tvcli.images import load_image
from tvcli.prompts.chat import Chat

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
