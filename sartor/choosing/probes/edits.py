"""Facts to change: in which document, from what to what, and the question that then has another answer."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sartor.choosing.probes.replacements import Fact, core_of, phrase_pattern, replacement, stands_in
from sartor.data.extract import Document
from sartor.data.records import Row
from sartor.data.scorers import Scorer

EDITABLE_SCORERS = frozenset({"exact", "f1", "contains", "label", "numeric", "rouge"})
"""Scorers whose answers are what a document says; the others' are patterns, JSON or judged by a model."""
LEAST_SCORE = 0.5  # a reply says an answer from here on, if it says the other one less


@dataclass(frozen=True)
class Edit:
    """`old` is exchanged for `new` wherever it stands in the document. `row` asks for it and accepts the new answers;
    `before` are the answers that were right till then, `old_core` and `new_core` what tells the two apart in a longer
    reply."""

    row: Row
    document_id: str
    old: str
    new: str
    before: tuple[str, ...]
    old_core: str
    new_core: str

    def edited(self, document: Document) -> str:
        """The document's text with the new fact."""
        return phrase_pattern(self.old).sub(lambda match: self.new, document.text)

    def says_new(self, reply: str, scorer: Scorer) -> bool:
        """Whether the reply tells the new fact: by the scorer, or in more words than the scorer likes, since it is not
        the style of the answer that is asked for here."""
        holds = stands_in(self.new_core, reply) and not stands_in(self.old_core, reply)
        return holds or _prefers(reply, scorer, self.row.answers, self.before)

    def says_old(self, reply: str, scorer: Scorer) -> bool:
        """As `says_new`, of the old fact."""
        holds = stands_in(self.old_core, reply) and not stands_in(self.new_core, reply)
        return holds or _prefers(reply, scorer, self.before, self.row.answers)

    def still_says(self, reply: str, scorer: Scorer) -> bool:
        """Whether the reply holds the old answer, with no other one to compare it with: word for word, or by the
        scorer without reserve."""
        return stands_in(self.old_core, reply) or any(scorer.compare(reply, each) == 1.0 for each in self.before)


def _prefers(reply: str, scorer: Scorer, these: Sequence[str], those: Sequence[str]) -> bool:
    score = scorer.score(reply, these)
    return score >= LEAST_SCORE and score > scorer.score(reply, those)


def automatic_edits(
    rows: Sequence[Row], donors: Sequence[Row], documents: Mapping[str, Document], scorer: Scorer, seed: int
) -> tuple[list[Edit], dict[str, int]]:
    """An edit for each row whose answer stands word for word in a document that it names as evidence, and how many
    rows have none, by the reason. The new answers come from `donors` and are the same for the same seed."""
    facts = [Fact(row.question, core_of(row.answers[0])) for row in donors]
    edits, left_out = [], Counter[str]()
    for row in rows:
        made = _edit(row, facts, documents, scorer, random.Random(f"{seed} {row.id}"))
        if isinstance(made, Edit):
            edits.append(made)
        else:
            left_out[made] += 1
    return edits, dict(left_out)


def _edit(
    row: Row, donors: Sequence[Fact], documents: Mapping[str, Document], scorer: Scorer, chance: random.Random
) -> Edit | str:
    """The row's edit, or why it has none."""
    if scorer.name not in EDITABLE_SCORERS:
        return f"the scorer {scorer.name} does not compare with what a document says"
    if len(row.messages) != 1:
        return "the question has earlier turns"
    evidence = [documents[name] for name in row.evidence if name in documents]
    if not evidence:
        return "names no document that holds the answer"
    cores = sorted(dict.fromkeys(map(core_of, row.answers)), key=len)  # longer ones may hold the shortest
    found = [(core, document) for core in cores for document in evidence if phrase_pattern(core).search(document.text)]
    if not found:
        return "the answer does not stand word for word in its document"
    core, document = found[0]
    new = replacement(Fact(row.question, core), donors, document.text, chance)
    if new is None:
        return "no other answer is of the same kind"
    edit = exchange(row, document.id, core, new)
    if stands_in(core, edit.edited(document)):
        return "the answer stands in its document in two ways"
    if not edit.says_new(edit.row.answers[0], scorer) or edit.says_new(edit.before[0], scorer):
        return "the scorer cannot tell the new answer from the old one"
    return edit


def exchange(row: Row, document_id: str, old: str, new: str) -> Edit:
    """The edit that makes `new` of `old` in the document and in those of the row's answers that hold it."""
    pattern = phrase_pattern(old)
    answers = tuple(pattern.sub(lambda match: new, answer) for answer in row.answers if pattern.search(answer))
    return Edit(replace(row, answers=answers), document_id, old, new, row.answers, old, new)
