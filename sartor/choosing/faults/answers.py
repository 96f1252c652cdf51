"""False measurements that answers show: cut, empty, always the same, thinking that was scored, a scorer that tells
nothing."""

from collections import Counter
from collections.abc import Iterator

from sartor.choosing.faults.evidence import Answers, Evidence, FalseMeasurement, given, ids, of
from sartor.choosing.labels import label
from sartor.data.scorers import Scorer, scorer
from sartor.data.task_rows import normalised
from sartor.data.thinking import scored_text, without_thinking

MOST_CUT = 0.05  # the share of answers that may lose their end before it is told
MOST_EMPTY = 0.02
WORSE_BY = 0.1  # a share of cut answers that is higher than another path's by so much makes arms unlike
SAME = 0.95
FEWEST_ROWS = 10  # below, an equal answer or score is no wonder
WHOLE_REPLY_SCORERS = ("exact", "label")
MOST_LONGER = 0.2  # the share of wrong answers that may hold the right one before it is told


def answer_cut(evidence: Evidence) -> Iterator[FalseMeasurement]:
    """Answers that ended at their length, as far as that may have cost them their score."""
    cut = {name: _cut(answers) for name, answers in evidence.answers.items()}
    shares = {name: len(found) / len(evidence.answers[name]) for name, found in cut.items()}
    least = min(shares, key=shares.__getitem__, default="")
    for name, found in cut.items():
        if len(found) < 2 or shares[name] < MOST_CUT:
            continue
        unlike = f"; of {label(least)} {100 * shares[least]:.0f} %, so the two are not compared on the same terms"
        yield FalseMeasurement(
            "answer_cut",
            name,
            f"{of(len(found), len(evidence.answers[name]))} were cut at their length and did not score in full"
            + (unlike if shares[name] - shares[least] >= WORSE_BY else ""),
            "read some of these answers: where they ramble, the path is that bad; where they are on their way to the "
            "right answer, show longer answers in train.jsonl, from which the length is taken",
            ids(found),
        )


def _cut(answers: Answers) -> Answers:
    """Thinking that was cut is another kind."""
    return [
        answer
        for answer in answers
        if answer["finish"] == "length"
        and (answer["score"] or 0.0) < 1
        and (_answer_alone(answer) or not answer["text"])
    ]


def thinking(evidence: Evidence) -> Iterator[FalseMeasurement]:
    """Thinking aloud: scored as if it were the answer, never ended, or left out of the score as it should be."""
    by = evidence.brief.task.scorer
    for name, answers in evidence.answers.items():
        aloud = [answer for answer in given(answers) if _answer_alone(answer) != answer["text"]]
        unfinished = [answer for answer in aloud if not _answer_alone(answer)]
        scored = [answer for answer in aloud if by.judge is None and _thinking_scored(answer, by)]
        if scored:
            yield FalseMeasurement(
                "thinking_scored",
                name,
                f"{of(len(scored), len(answers))} were scored with the thinking in front of them",
                "score again with `sartor choose --rescore`: scorers now read only what follows the thinking",
                ids(scored),
            )
        if unfinished:
            yield FalseMeasurement(
                "thinking_unfinished",
                name,
                f"{of(len(unfinished), len(answers))} end before the thinking does, so there is no answer to score",
                "switch thinking off for this model, or show longer answers in train.jsonl, from which the length is "
                "taken",
                ids(unfinished),
            )
        if not scored and len(aloud) > len(unfinished):
            yield FalseMeasurement(
                "thinking_left_out",
                name,
                f"{of(len(aloud), len(answers))} think aloud first; scores are of what follows, but people who use "
                "this path wait for the thinking, pay for it and see it",
                "hide it where answers are shown, or switch it off for this model",
                ids(aloud),
            )


def _answer_alone(answer: dict[str, object]) -> str:
    accepted = answer["accepted"]
    return scored_text(str(answer["text"]), [str(text) for text in accepted] if isinstance(accepted, list) else [])


def _thinking_scored(answer: dict[str, object], by: Scorer) -> bool:
    """The recorded score is that of the whole text, and not that of what follows the thinking."""
    accepted = answer["accepted"]
    if answer["score"] is None or not isinstance(accepted, list) or not accepted:
        return False
    whole, alone = by.score(str(answer["text"]), accepted), by.score(_answer_alone(answer), accepted)
    return whole != alone and answer["score"] == whole


def empty_answers(evidence: Evidence) -> Iterator[FalseMeasurement]:
    for name, answers in evidence.answers.items():
        empty = [answer for answer in given(answers) if not answer["text"].strip()]
        if len(empty) >= 2 and len(empty) >= MOST_EMPTY * len(answers):
            yield FalseMeasurement(
                "empty_answers",
                name,
                f"{of(len(empty), len(answers))} are empty",
                "ask one of these rows by hand: a stop text, a filter or a wrong template ends answers before they "
                "begin",
                ids(empty),
            )


def same_answer_always(evidence: Evidence) -> Iterator[FalseMeasurement]:
    """One text for all questions, although they have several answers."""
    for name, answers in evidence.answers.items():
        texts = Counter(normalised(without_thinking(answer["text"])) for answer in given(answers))
        wanted = {normalised(answer["accepted"][0]) for answer in answers if answer["accepted"]}
        if len(answers) < FEWEST_ROWS or len(wanted) < 3 or not texts:
            continue
        text, count = texts.most_common(1)[0]
        if text and count >= SAME * len(answers):
            yield FalseMeasurement(
                "same_answer_always",
                name,
                f"{of(count, len(answers))} are the same, {text[:60]!r}, though the questions have {len(wanted):,} "
                "different answers",
                "see in the recorded answers whether the question reaches the model at all",
            )


def scorer_tells_nothing(evidence: Evidence) -> Iterator[FalseMeasurement]:
    """Every answer of every path scores 0, or every one 1, as far as they could be scored: then nothing is compared."""
    worth = [answer["score"] for answers in evidence.answers.values() for answer in answers]
    scores = [score for score in worth if score is not None]
    if len(scores) < FEWEST_ROWS or len(set(scores)) != 1 or scores[0] not in (0, 1):
        return
    name = evidence.brief.task.scorer.name
    every = "every answer" if len(scores) == len(worth) else "every answer that could be scored,"
    if scores[0] == 0:
        what = f"{every} of every path scores 0 by {name}: the measure tells no path from another"
        hint = "read some answers beside what is accepted: the scorer may ask for a form that no path was shown"
        yield FalseMeasurement("scorer_at_floor", None, what, hint)
    else:
        what = f"{every} of every path is right by {name}: the test is too easy to tell them apart"
        hint = "add harder test rows, or take the cheapest path"
        yield FalseMeasurement("scorer_saturated", None, what, hint)


def answer_in_longer_reply(evidence: Evidence) -> Iterator[FalseMeasurement]:
    """A scorer that wants the answer alone gives 0 to replies that hold it among other words."""
    by, contains = evidence.brief.task.scorer, scorer("contains")
    if by.name not in WHOLE_REPLY_SCORERS:
        return
    for name, answers in evidence.answers.items():
        longer = [
            answer
            for answer in given(answers)
            if answer["score"] == 0
            and by.score(_answer_alone(answer), answer["accepted"]) == 0
            and any(_is_said(contains, _answer_alone(answer), text) for text in answer["accepted"])
        ]
        if len(longer) >= 5 and len(longer) >= MOST_LONGER * len(answers):
            yield FalseMeasurement(
                "answer_in_longer_reply",
                name,
                f"{of(len(longer), len(answers))} hold an accepted answer among other words and score 0 by {by.name}",
                "say in the instruction that only the answer is wanted, or use the scorer contains where a longer "
                "reply is as good",
                ids(longer),
            )


def _is_said(contains: Scorer, reply: str, answer: str) -> bool:
    return len(normalised(answer)) > 1 and contains.compare(reply, answer) == 1
