"""Preference rows as files hold them: pairs with or without a prompt, and single judged completions."""

import re
from dataclasses import replace
from itertools import takewhile
from typing import Any

from sartor.data.bad_rows import BadRow
from sartor.data.records import Conversation, Judged, Preference
from sartor.data.turns import check_ends, kind_of, message, text_in, turns, with_system

TURN_MARK = re.compile(r"(?:^|\n\n)(Human|Assistant):")


def read_preference(row: dict[str, Any], place: str) -> Preference:
    """A pair. Without a prompt column, or where both sides repeat it, the turns they share are the prompt.

    A dialogue may also be text with `Human:` and `Assistant:` marks after blank lines (Bai et al. 2022). `chosen_cut`
    and `rejected_cut` are true of an answer that ended at its greatest length.
    """
    chosen, rejected = _side(row, "chosen", place), _side(row, "rejected", place)
    prompt = _prompt(row, place) if row.get("prompt") is not None else []
    for side, name in ((chosen, "chosen"), (rejected, "rejected")):
        if side[0]["role"] != "assistant" and side[: len(prompt)] != prompt:
            hint = "start it with the same turns as the prompt, or with the assistant's answer"
            raise BadRow("does not go on from the prompt", place=place, field=name, hint=hint)
    whole = [prompt + side if side[0]["role"] == "assistant" else side for side in (chosen, rejected)]
    split = _split(with_system(row, whole[0], place), with_system(row, whole[1], place), place)
    chosen_is_cut, rejected_is_cut = (as_verdict(row.get(f"{name}_cut")) is True for name in ("chosen", "rejected"))
    return replace(split, is_cut=(chosen_is_cut, rejected_is_cut))


def read_judged(row: dict[str, Any], place: str) -> Judged:
    """One completion with its label: true for one to learn, false for one to avoid."""
    verdict = as_verdict(row.get("label"))
    if verdict is None:
        what, hint = f"is {kind_of(row.get('label'))}, not true or false", "write true (good) or false (bad)"
        raise BadRow(what, place=place, field="label", hint=hint)
    completion = read_completion(row, place)
    return Judged(read_prompt(row, place), completion, verdict, place)


def as_verdict(value: Any) -> bool | None:
    """true/false, 1/0 or the same words as text; None for anything else."""
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if value in (0, 1) else None


def read_prompt(row: dict[str, Any], place: str) -> Conversation:
    """The `prompt` column, as text or turns that end with the user, after the row's `system` column."""
    return with_system(row, _prompt(row, place), place)


def read_completion(row: dict[str, Any], place: str) -> Conversation:
    """The `completion` column, as text or as turns that begin and end with the assistant."""
    if not isinstance(row.get("completion"), list):
        return [message("assistant", text_in(row, "completion", place))]
    completion = turns(row["completion"], place, "completion")
    for index in (0, -1):
        if completion[index]["role"] != "assistant":
            hint = "begin and end the completion with the assistant's turn"
            what = f"the turn is the {completion[index]['role']}'s, not the assistant's"
            field = f"completion[{index % len(completion)}]"
            raise BadRow(what, place=place, field=field, hint=hint)
    return completion


def _prompt(row: dict[str, Any], place: str) -> Conversation:
    if isinstance(row["prompt"], list):
        return check_ends(turns(row["prompt"], place, "prompt"), place, "prompt", last="user")
    text = text_in(row, "prompt", place)
    prompt = _dialogue(text, place, "prompt") or [message("user", text)]
    return check_ends(prompt, place, "prompt", last="user")


def _side(row: dict[str, Any], name: str, place: str) -> Conversation:
    if isinstance(row.get(name), list):
        side = turns(row[name], place, name)
    else:
        text = text_in(row, name, place)
        side = _dialogue(text, place, name) or [message("assistant", text)]
    if side[-1]["role"] != "assistant":
        hint = "end it with the answer that is preferred or not"
        raise BadRow("the last turn is not the assistant's", place=place, field=name, hint=hint)
    return side


def _split(chosen: Conversation, rejected: Conversation, place: str) -> Preference:
    if chosen == rejected:
        raise BadRow("chosen and rejected are the same", place=place, field="rejected", hint="remove the row")
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False)))
    shared = min(shared, len(chosen) - 1, len(rejected) - 1)
    while shared > 0 and {chosen[shared]["role"], rejected[shared]["role"]} != {"assistant"}:
        shared -= 1
    if not any(turn["role"] == "user" for turn in chosen[:shared]):
        hint = 'add a column "prompt", or start chosen and rejected with the same turns'
        raise BadRow("chosen and rejected share no prompt", place=place, field="prompt", hint=hint)
    return Preference(chosen[:shared], chosen[shared:], rejected[shared:], place)


def _dialogue(text: str, place: str, field: str) -> Conversation:
    """The turns of `Human: …`, blank line, `Assistant: …`; none for text without both marks.

    An open `Assistant:` at the end of a prompt is no turn.
    """
    if not text.lstrip().startswith("Human:") or "\n\nAssistant:" not in text:
        return []
    pieces = TURN_MARK.split(text.lstrip())[1:]
    read = [
        message("user" if speaker == "Human" else "assistant", content.strip())
        for speaker, content in zip(pieces[::2], pieces[1::2], strict=True)
    ]
    if field == "prompt" and read[-1] == message("assistant", ""):
        read.pop()
    empty = next((index for index, turn in enumerate(read) if not turn["content"]), None)
    if empty is not None:
        hint = "fill it in or remove the row"
        raise BadRow(f"turn {empty + 1} is empty", place=place, field=field, hint=hint)
    return read
