"""False measurements that rows show: test answers that stand where paths learn or read, and test rows that repeat each
other."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from sartor.choosing.faults.evidence import Answers, Evidence, FalseMeasurement, ids
from sartor.data.leaks import NEAR_SIMILARITY, similar_pairs
from sartor.data.records import Row
from sartor.data.task_rows import normalised, normalised_question

FEWEST_WORDS = 5  # a shorter question may stand in a document by chance
ANSWER_WITHIN_WORDS = 200  # behind its question
FEWEST_LEAKED = 0.01  # the share of test rows that may be learnt nearly before it is told
FEWEST_REPEATED = 0.02


def leak(evidence: Evidence) -> Iterator[FalseMeasurement]:
    yield from _leak_in_train(evidence)
    yield from _leak_in_documents(evidence)
    single = {row.id for row in evidence.brief.test if len(row.messages) == 1}
    for name, answers in evidence.answers.items():
        yield from _leak_in_prompt(name, [answer for answer in answers if answer["id"] in single])


def _leak_in_train(evidence: Evidence) -> Iterator[FalseMeasurement]:
    """Exact questions are taken out of what is learnt; near ones with the same answer stay there."""
    near = {
        pair.test.id: pair.learnt.where
        for pair in evidence.brief.leaks.near
        if _answers(pair.learnt) & _answers(pair.test)
    }
    total = len(evidence.brief.test)
    if len(near) >= max(2, FEWEST_LEAKED * total):
        first = next(iter(near))
        yield FalseMeasurement(
            "leak",
            None,
            f"{len(near):,} of {total:,} test questions stand nearly word for word, with the same answer, among the "
            f"rows to learn from (first: {first}, {near[first]})",
            "give rows that belong together the same group, or remove these from train: what learns from them "
            "remembers, it does not answer",
            list(near),
        )


def _leak_in_documents(evidence: Evidence) -> Iterator[FalseMeasurement]:
    """Test questions that stand in a document word for word, with an accepted answer behind them."""
    asked = [(row, normalised(row.question).split()) for row in evidence.brief.test]
    beginnings: dict[tuple[str, ...], list[tuple[Row, list[str]]]] = defaultdict(list)
    for row, words in asked:
        if len(words) >= FEWEST_WORDS:
            beginnings[tuple(words[:FEWEST_WORDS])].append((row, words))
    found: dict[str, str] = {}
    for document, text in evidence.documents() if beginnings else ():
        words = normalised(text).split()
        for place, beginning in enumerate(zip(*(words[shift:] for shift in range(FEWEST_WORDS)), strict=False)):
            for row, question in beginnings.get(beginning, ()):
                end = place + len(question)
                if words[place:end] == question and _said(row, words[end : end + ANSWER_WITHIN_WORDS]):
                    found.setdefault(row.id, document)
    if found:
        first = next(iter(found))
        yield FalseMeasurement(
            "leak",
            None,
            f"{len(found):,} of {len(asked):,} test questions stand word for word in the documents, with their answer "
            f"behind them (first: {first}, in {found[first]})",
            "take these questions out of the documents, or out of the test: retrieval finds the very question, which "
            "it will not for people",
            sorted(found),
        )


def _leak_in_prompt(name: str, answers: Answers) -> Iterator[FalseMeasurement]:
    """The question asked is also among the worked examples in front of it. `answers` are to rows of one turn: what a
    longer conversation repeats is its own."""
    leaked = []
    for answer in answers:
        asked = normalised(answer["question"])
        turns = answer["messages"][:-1]
        if any(turn["role"] == "user" and normalised(turn["content"]) == asked for turn in turns):
            leaked.append(answer)
    if leaked:
        yield FalseMeasurement(
            "leak",
            name,
            f"{len(leaked):,} test questions were asked with themselves among the worked examples in front",
            "remove them from train.jsonl: the answer stood in the prompt",
            ids(leaked),
        )


def near_duplicate_test(evidence: Evidence) -> Iterator[FalseMeasurement]:
    """Test rows of different groups that ask nearly the same and have the same answer: they count once, not twice."""
    rows = evidence.brief.test
    families = _families(rows)
    repeated = [row.id for row, family in zip(rows, families, strict=True) if family != row.id]
    if len(repeated) < max(2, FEWEST_REPEATED * len(rows)):
        return
    sizes = Counter(families).values()
    effective = len(rows) ** 2 / sum(size**2 for size in sizes)
    yield FalseMeasurement(
        "near_duplicate_test",
        None,
        f"{len(repeated):,} of {len(rows):,} test rows ask nearly the same as an earlier one and have the same answer: "
        f"the test tells about as much as {effective:.0f} rows, so intervals and p-values are too sure",
        "keep one of each, or give those that belong together the same `group`, which intervals take into account",
        repeated,
    )


def _families(rows: Sequence[Row]) -> list[str]:
    """For each row the id of the first row that it repeats, directly or through others; its own id where it is new.
    Rows of one group may repeat each other, since statistics by group know that already."""
    texts = [normalised_question(row.messages) for row in rows]
    first = list(range(len(rows)))

    def root(index: int) -> int:
        while first[index] != index:
            index = first[index]
        return index

    for one, other, _ in similar_pairs(texts, texts, NEAR_SIMILARITY):
        if one < other and rows[one].group != rows[other].group and _answers(rows[one]) & _answers(rows[other]):
            low, high = sorted((root(one), root(other)))
            first[high] = low
    return [rows[root(index)].id for index in range(len(rows))]


def _answers(row: Row) -> set[str]:
    return {normalised(answer) for answer in row.answers}


def _said(row: Row, words: Sequence[str]) -> bool:
    text = f" {' '.join(words)} "
    return any(f" {normalised(answer)} " in text for answer in row.answers)
