"""False measurements that prompts show: cut by a server, a chat template applied twice or not at all.

A service says how many tokens it read. Where its tokenizer is the one we know, which shows in a difference that is the
same for short and long prompts, every prompt is checked by itself; else only a ceiling that prompts of different
lengths share tells.
"""

import re
import statistics
from collections.abc import Iterator

from sartor.choosing.faults.evidence import Answers, CountTokens, Evidence, FalseMeasurement, given, ids, of
from sartor.data.records import Message
from sartor.generation.service_checks import TOLERATED_TOKENS, cut_prompts

ROLE_MARK = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|\[/?INST\]|<\|(?:user|assistant|system|turn_start)\|>"
    r"|<\uff5c(?:User|Assistant)\uff5c>|<\|start\|>(?:user|assistant|system)"
)
"""Marks with which the templates of ChatML, Llama, Gemma, Mistral, Phi, DeepSeek and gpt-oss begin a turn."""

FEWEST_COMPARED = 6
LONGER_BY = 1.5  # prompts of one tokenizer are told from equal shares only where their lengths differ by so much
LOST = 0.02  # the share of a prompt's tokens that may be counted otherwise
LONG_PROMPT_TOKENS = 256
MOST_MARKED = 0.1


def prompt_cut(evidence: Evidence) -> Iterator[FalseMeasurement]:
    for name, answers in _remote(evidence):
        ours = _sizes(answers, evidence.count_tokens)
        theirs = [answer["prompt_tokens"] for answer in answers]
        offset = _same_tokenizer(ours, theirs) if evidence.count_tokens else None
        if offset is not None:
            cut = [
                answer
                for answer, own, seen in zip(answers, ours, theirs, strict=True)
                if seen < own + offset - max(TOLERATED_TOKENS, LOST * own)
            ]
            at = max((answer["prompt_tokens"] for answer in cut), default=0)
        else:
            at = cut_prompts(ours, theirs) or _all_alike(ours, theirs)
            cut = [answer for answer in answers if at and answer["prompt_tokens"] == at]
        if cut:
            yield FalseMeasurement(
                "prompt_cut",
                name,
                f"{', '.join(answers[0]['hosts'])} read less than it was sent: for {of(len(cut), len(answers))} it "
                f"counts {at:,} prompt tokens at most, where longer prompts have more",
                "raise the server's context length, or measure with fewer passages and examples",
                ids(cut),
            )


def template_twice(evidence: Evidence) -> Iterator[FalseMeasurement]:
    for name, answers in evidence.answers.items():
        marked = [answer for answer in answers if _has_marks(answer)]
        if len(marked) >= max(2, MOST_MARKED * len(answers)):
            found = ROLE_MARK.search("\n".join(message["content"] for message in marked[0]["messages"]))
            yield FalseMeasurement(
                "template_twice",
                name,
                f"the texts sent for {of(len(marked), len(answers))} hold control tokens of a chat template "
                f"({found[0] if found else ''}), which is applied to them once more",
                "give questions, answers and instruction as plain text: the template is applied when they are sent",
                ids(marked),
            )
    for name, answers in _remote(evidence):
        extra, said = _extra_tokens(answers, evidence.count_tokens), _service_says(evidence, name)
        if said or (extra is not None and extra > TOLERATED_TOKENS):
            yield FalseMeasurement(
                "template_twice",
                name,
                said
                or f"the service reads {extra} tokens more than the template gives, for every prompt alike: the "
                "template is applied twice, or a prompt of its own stands in front",
                "see how the server renders a conversation; messages must reach it as they are",
            )


def template_missing(evidence: Evidence) -> Iterator[FalseMeasurement]:
    for name, answers in _remote(evidence):
        extra = _extra_tokens(answers, evidence.count_tokens)
        if extra is not None and extra < -TOLERATED_TOKENS:
            yield FalseMeasurement(
                "template_missing",
                name,
                f"the service reads {-extra} tokens fewer than the template gives, for every prompt alike: it does not "
                "apply the model's chat template",
                "start the server with the model's own template",
            )


def _remote(evidence: Evidence) -> Iterator[tuple[str, Answers]]:
    """Paths whose tokens somebody else has counted, with the answers that have a count."""
    for name, answers in evidence.answers.items():
        counted = [answer for answer in given(answers) if answer["hosts"] and answer["prompt_tokens"]]
        if counted:
            yield name, counted


def _sizes(answers: Answers, count_tokens: CountTokens | None) -> list[int]:
    """How long prompts are: in tokens, or in bytes where no tokenizer is known."""
    if count_tokens is not None:
        return [count_tokens(answer["messages"]) for answer in answers]
    return [sum(len(message["content"].encode()) for message in answer["messages"]) for answer in answers]


def _same_tokenizer(ours: list[int], theirs: list[int]) -> int | None:
    """How many tokens more the service counts, where that is one number for the shorter half of the prompts, whatever
    their length; None where it is not, so that its tokenizer is another one, or too few prompts tell."""
    pairs = sorted(zip(ours, theirs, strict=True))
    shorter = pairs[: max(len(pairs) // 2, FEWEST_COMPARED)]
    if len(shorter) < FEWEST_COMPARED or shorter[-1][0] < LONGER_BY * shorter[0][0]:
        return None
    differences = [seen - own for own, seen in shorter]
    return round(statistics.median(differences)) if max(differences) - min(differences) <= 1 else None


def _extra_tokens(answers: Answers, count_tokens: CountTokens | None) -> int | None:
    if count_tokens is None:
        return None
    return _same_tokenizer(_sizes(answers, count_tokens), [answer["prompt_tokens"] for answer in answers])


def _all_alike(ours: list[int], theirs: list[int]) -> int | None:
    """The one count that a service gives for long prompts of clearly different lengths: all of them are cut."""
    alike = len(theirs) >= FEWEST_COMPARED and len(set(theirs)) == 1 and theirs[0] >= LONG_PROMPT_TOKENS
    return theirs[0] if alike and max(ours) >= LONGER_BY * min(ours) else None


def _has_marks(answer: dict[str, list[Message]]) -> bool:
    return any(ROLE_MARK.search(message["content"]) for message in answer["messages"])


def _service_says(evidence: Evidence, name: str) -> str | None:
    """What the checks of the service found of its template, when they found a fault."""
    for finding in evidence.facts[name].get("service") or []:
        if finding["check"] == "the chat template is applied once" and finding["passed"] is False:
            return str(finding["what"])
    return None
