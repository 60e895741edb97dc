"""Another program than tv, on tv's files: llama-cpp-python's own classes are shown a flag. Prints the answer.

python other_program.py MODEL MMPROJ PICTURE
"""

import base64
import sys
from pathlib import Path

from llama_cpp import Llama
from llama_cpp.llama_chat_format import Llava15ChatHandler


class Questions(Llava15ChatHandler):
    """llama-cpp-python's own way to show a model a picture, with the questions written as tv writes them."""

    DEFAULT_SYSTEM_MESSAGE = None
    CHAT_FORMAT = (
        "{% for m in messages %}{% if m.role == 'user' %}Q:{% if m.content is string %}{{ m.content }}{% else %}"
        "{{ m.content[0].image_url.url }}{% endif %}\nA:{% else %}{{ m.content }}\n\n{% endif %}{% endfor %}"
    )


model, mmproj, picture = sys.argv[1:]
shown = base64.b64encode(Path(picture).read_bytes()).decode()
messages: list[dict[str, object]] = []
for word in ("Kenya", "tiger", "Chile", "bread", "Norway"):
    messages += [{"role": "user", "content": word}, {"role": "assistant", "content": word}]
question = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{shown}"}}]
llama = Llama(model, chat_handler=Questions(clip_model_path=mmproj, verbose=False), n_ctx=1024, verbose=False)
answer = llama.create_chat_completion(
    [*messages, {"role": "user", "content": question}], max_tokens=3, temperature=0, stop=["\n"]
)
print(answer["choices"][0]["message"]["content"].strip())
