"""Candidate instructions, written by the model that will follow them, from the task's description and a few train rows.

Sources: Zhou et al., "Large Language Models Are Human-Level Prompt Engineers" (2211.01910), for letting the model
write; Opsahl-Ong et al. (MIPRO, 2406.11695), for another hint and other examples in each request. What is written is a
candidate and no more: dev rows decide.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sartor.base.console import say
from sartor.base.durable import replace_json
from sartor.data.records import Conversation, Message
from sartor.data.task import Task
from sartor.generation.protocol import Generator, Reply, Sampling

INSTRUCTIONS_FILE = "instructions.json"  # of a path: what was written, so that a resumed run does not write again
HINTS = (
    "Write one short sentence.",
    "Begin with what the answer must look like.",
    "Say how to choose between answers that are alike.",
    "Say what must not be in the answer.",
)
SAMPLING = Sampling(max_new_tokens=200, temperature=0.7)
MOST_CHARACTERS = 1_000
NOT_ANSWERED = "not answered"
SHOWN_CHARACTERS = 300  # of a question or an answer
LEAD = re.compile(
    r"^[\s*#_]*(?:(?:here is|here's)[^:\n]*|(?:new |system |better )*(?:instructions?|prompt))[\s*_]*:[\s*_]*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Written:
    """Usable instructions, each once, and how many were not usable, by reason."""

    instructions: tuple[str, ...]
    left_out: dict[str, int]


def write_instructions(
    author: Generator, task: Task, examples: Sequence[Sequence[tuple[str, str]]], file: Path, name: str
) -> Written:
    """One instruction for each group of train `examples` (at most one a hint), kept in `file` and read from there
    when it exists. A reply that failed, was cut off or is too long is no instruction."""
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        return Written(tuple(kept["instructions"]), kept["left_out"])
    requests = [request(task, shown, hint) for shown, hint in zip(examples, HINTS, strict=False)]
    found: dict[str, None] = {}
    left_out: Counter[str] = Counter()
    for reply in author.generate(requests, SAMPLING):
        text, problem = usable(reply, task.instruction)
        if problem is None and text in found:
            problem = "the same again"
        if problem is None:
            found[text] = None
        else:
            left_out[problem] += 1
    written = Written(tuple(found), dict(left_out))
    if NOT_ANSWERED not in left_out:  # else they are asked for again when the run goes on
        replace_json(file, {"instructions": list(written.instructions), "left_out": written.left_out})
    why = "".join(f", {count} {problem}" for problem, count in left_out.items())
    say(f"{name}: {len(found)} of {len(requests)} instructions that the model wrote can be tried{why}")
    return written


def request(task: Task, examples: Sequence[tuple[str, str]], hint: str) -> Conversation:
    """What the author is asked."""
    shown = "\n\n".join(f"Message: {_short(question)}\nAnswer: {_short(answer)}" for question, answer in examples)
    about = f"The task: {task.description}\n" if task.description else ""
    present = f"The instruction so far: {task.instruction}\n" if task.instruction else ""
    return [
        Message(
            role="user",
            content=f"{about}{present}\nMessages and the right answers to them:\n\n{shown}\n\n"
            "Write a better instruction for an assistant that is to answer other messages of this kind in exactly "
            f"this way. {hint} Write the instruction only, in the second person, without examples.",
        )
    ]


def usable(reply: Reply, present: str) -> tuple[str, str | None]:
    """The instruction in a reply, and why it cannot be used (None: it can)."""
    if reply.finish == "error":
        return "", NOT_ANSWERED
    text = _bare(reply.text)
    if reply.finish == "length":
        return text, "cut off"
    if not text:
        return text, "empty"
    if len(text) > MOST_CHARACTERS:
        return text, "too long"
    return text, "as it was" if text == present.strip() else None


def _bare(text: str) -> str:
    """Without a heading that announces it, and without quotes around it."""
    text = LEAD.sub("", text.strip()).strip()
    while len(text) > 1 and (text[0], text[-1]) in (('"', '"'), ("'", "'"), ("“", "”"), ("`", "`")):
        text = text[1:-1].strip()
    return text


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
