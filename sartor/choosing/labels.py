"""What the paths are called in sentences for people."""

import re

LABELS = {"prompt": "prompting", "api": "the remote API", "rag": "retrieval", "finetune": "fine-tuning",
          "finetune+rag": "retrieval + fine-tuning"}


def label(name: str) -> str:
    """The path's name inside a sentence."""
    return visible(LABELS.get(name, name))


def title(name: str) -> str:
    """The label as a sentence starts; a name that people gave is never changed."""
    return LABELS[name][0].upper() + LABELS[name][1:] if name in LABELS else visible(name)


def visible(text: str) -> str:
    """Control characters and lone surrogates, which no XML may hold, as escapes that can be seen."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", lambda match: repr(match[0])[1:-1], text)
