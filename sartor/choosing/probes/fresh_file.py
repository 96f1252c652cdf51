"""The user's own edits: a file of facts to change, each with the question that asks for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sartor.base.configuration import nearest
from sartor.choosing.probes.edits import Edit
from sartor.choosing.probes.replacements import core_of, phrase_pattern, stands_in
from sartor.data.bad_rows import BadRow
from sartor.data.extract import Document
from sartor.data.readers import read_rows
from sartor.data.records import Message, Row
from sartor.data.scorers import Scorer, check_answers
from sartor.data.turns import kind_of, text_in

FIELDS = ("document", "old", "new", "question", "answer", "old_answer")


def read_fresh(file: Path, documents: Mapping[str, Document], scorer: Scorer) -> list[Edit]:
    """The edits of a file with a row each: `document` (id or path), `old` and `new` text, `question`, `answer` (or a
    list of accepted ones) and, if the old text is not the old answer itself, `old_answer`.

    BadRow with line and field for a row that cannot be used: an unknown document, an old text that does not stand in
    it, an answer that was right before.
    """
    return [_edit(raw, place, number, documents, scorer) for number, (place, raw) in enumerate(read_rows(file), 1)]


def _edit(raw: dict[str, Any], place: str, number: int, documents: Mapping[str, Document], scorer: Scorer) -> Edit:
    unknown = sorted(raw.keys() - set(FIELDS))
    if unknown:
        near = nearest(unknown[0], FIELDS)
        hint = f"rename it to {near}" if near else f"fields are {', '.join(FIELDS)}"
        raise BadRow(f"there is no field {unknown[0]!r}", place=place, field=unknown[0], hint=hint)
    document = _document(text_in(raw, "document", place), documents, place)
    old, new, question = (text_in(raw, field, place) for field in ("old", "new", "question"))
    if not phrase_pattern(old).search(document.text):
        hint = "copy it from the document, whole words, in the same case"
        raise BadRow(f"does not stand in {document.id}", place=place, field="old", hint=hint)
    if " ".join(old.split()) == " ".join(new.split()):
        raise BadRow("is the same as the old text", place=place, field="new", hint="write what the fact becomes")
    answers = _answers(raw, place)
    check_answers(scorer, answers, f"{place}, answer")
    old_answer = text_in(raw, "old_answer", place) if raw.get("old_answer") is not None else old
    row = Row(f"fresh-{number}", [Message(role="user", content=question)], answers, f"fresh-{number}", (document.id,))
    edit = Edit(row, document.id, old, new, (old_answer,), core_of(old_answer), core_of(answers[0]))
    if not edit.says_new(answers[0], scorer):
        what = "the scorer cannot tell it from the old answer"
        raise BadRow(what, place=place, field="answer", hint="give the answer that is right after the edit only")
    if stands_in(edit.old_core, edit.new_core):
        what = f"holds the old answer, {edit.old_core!r}, so the two cannot be told apart"
        raise BadRow(what, place=place, field="answer", hint="give an old_answer that the new one does not hold")
    return edit


def _answers(raw: dict[str, Any], place: str) -> tuple[str, ...]:
    value = raw.get("answer")
    if not isinstance(value, list):
        return (text_in(raw, "answer", place),)
    if not value or not all(isinstance(each, str) and each.strip() for each in value):
        what = f"is {kind_of(value)} that does not hold texts only"
        raise BadRow(what, place=place, field="answer", hint='write a text, or a list of texts: ["…"]')
    return tuple(value)


def _document(name: str, documents: Mapping[str, Document], place: str) -> Document:
    """By id, or by the path of its file."""
    if name in documents:
        return documents[name]
    found = [each for each in documents.values() if _same_file(each.path, name)]
    if len(found) == 1:
        return found[0]
    near = nearest(name, list(documents))
    what = "names a file of several documents" if found else f"there is no document {name!r}"
    hint = f"did you mean {near}?" if near else "write its path below documents/"
    raise BadRow(what, place=place, field="document", hint=hint)


def _same_file(path: str, name: str) -> bool:
    return bool(path) and Path(path).resolve() == Path(name).resolve()
