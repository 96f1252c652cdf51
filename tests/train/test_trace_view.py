"""Which traces a report shows, how each token looks, and that there is a bound to it all."""

import tracemalloc

import pytest

from sartor.train.trace_view import (
    GAP,
    MOST_PAIRS,
    MOST_PROMPT_CHARACTERS,
    MOST_TOKENS,
    early_and_late,
    look,
    traces_view,
)
from sartor.train.traces import TRACES_FILE, TraceLog
from tests.train.made_up_alignment import trace


def logged(folder, traces):
    with TraceLog(folder) as log:
        log.append(traces)
    return folder


def chosen(folder):
    pairs, num_traces, num_steps = early_and_late(folder / TRACES_FILE)
    return [tuple((each.step, each.where[-1]) for each in pair) for pair in pairs], num_traces, num_steps


def test_the_same_prompt_is_shown_early_and_late(tmp_path):
    run = logged(
        tmp_path, [trace(step, row, ["a"]) for step in (1, 10, 20) for row in ((1, 2) if step < 20 else (1, 3))]
    )
    assert chosen(run) == ([((1, "1"), (20, "1")), ((1, "2"), (10, "2"))], 6, 3)


def test_of_a_group_of_answers_to_a_prompt_one_early_and_one_late_is_shown(tmp_path):
    run = logged(tmp_path, [trace(step, 1, [f"{step} {answer}"]) for step in (1, 2) for answer in range(8)])
    pairs, num_traces, _ = early_and_late(run / TRACES_FILE)
    assert [each.tokens for each in pairs[0]] == [["1 0"], ["2 0"]] and num_traces == 16


def test_without_a_prompt_seen_twice_the_first_step_stands_beside_the_last(tmp_path):
    run = logged(tmp_path, [trace(step, 3 * step + row, ["a"]) for step in (1, 2) for row in range(2)])
    assert chosen(run)[0] == [((1, "3"), (2, "6")), ((1, "4"), (2, "7"))]
    view = traces_view(run)
    assert view is not None and view.pairs[0].prompt == ""
    assert [prompt for prompt, _ in view.pairs[0].answers] == ["What is 3 + 3?", "What is 6 + 6?"]
    assert view.pairs[0].where == "prompts.jsonl:3 and prompts.jsonl:6"


def test_the_traces_that_are_not_shown_are_not_held(tmp_path):
    """300 prompts, each sampled once: all their traces would be many times as large."""
    run = logged(tmp_path, (trace(1 + row // 4, row, ["word"] * 200) for row in range(300)))
    tracemalloc.start()
    pairs, num_traces, _ = early_and_late(run / TRACES_FILE)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(pairs) == MOST_PAIRS and num_traces == 300 and most < 2e6


def test_a_single_step_stands_alone_and_nothing_is_nothing(tmp_path):
    assert traces_view(tmp_path) is None
    run = logged(tmp_path, [trace(1, row, ["a"]) for row in range(9)])
    assert chosen(run) == ([((1, str(row)),) for row in range(MOST_PAIRS)], 9, 1)
    view = traces_view(run)
    assert view is not None and "9 answers of 1 steps" in view.note and "5 of them are left out" in view.note


def test_a_long_answer_and_a_long_prompt_are_cut_and_say_so(tmp_path):
    long = trace(1, 1, [str(place) for place in range(1000)])
    run = logged(tmp_path, [type(long)(**vars(long) | {"prompt": "x" * 5000 + "?"})])
    view = traces_view(run)
    assert view is not None
    ((_, answer),) = view.pairs[0].answers
    texts = [token.text for token in answer.tokens]
    assert len(texts) == MOST_TOKENS + 1 and texts[0] == "0" and texts[-1] == "999"
    (gap,) = [token for token in answer.tokens if token.look == GAP]
    assert gap.text.strip() == f"… {1000 - MOST_TOKENS} tokens left out …" and "1,000 tokens" in answer.facts
    assert f"({5001 - MOST_PROMPT_CHARACTERS:,} more characters)" in view.pairs[0].prompt
    assert view.pairs[0].prompt.endswith("x?")


@pytest.mark.parametrize(
    ("advantage", "seen"),
    [(2.0, "good-4"), (-2.0, "bad-4"), (0.6, "good-2"), (-0.2, "bad-1"), (0.09, ""), (0.0, ""), (float("nan"), "")],
)
def test_colour_is_the_sign_and_strength_the_size(advantage, seen):
    assert look(advantage, scale=2.0) == seen
    assert look(0.0, scale=0.0) == ""


def test_every_colour_is_in_the_legend(tmp_path):
    view = traces_view(logged(tmp_path, [trace(1, 1, ["a"] * 9)]))
    assert view is not None
    ((_, answer),) = view.pairs[0].answers
    assert {token.look for token in answer.tokens} - {""} <= {look for look, _ in view.legend}
    assert len(view.legend) == 8 and view.legend[-1][1].startswith("+")


def test_a_token_tells_all_its_figures(tmp_path):
    view = traces_view(logged(tmp_path, [trace(1, 1, ["a", "b", "c"]), trace(1, 2, ["a"] * 3, values=False)]))
    assert view is not None
    (_, first), (_, second) = view.pairs[0].answers[0], view.pairs[1].answers[0]
    assert first.tokens[2].title == (
        "advantage +0.125 · log-prob -0.2 · reference -0.4 · KL +0.2 · value 0.1 · reward -0.02"
    )
    assert "value" not in second.tokens[2].title
    assert first.facts == "score 0.01 · 3 tokens · finished · KL 0.3 nats"


def test_what_cannot_be_seen_is_shown(tmp_path):
    view = traces_view(logged(tmp_path, [trace(1, 1, ["", "a\n", "\x07", "\u202egnp.", "\\n", "y" * 500])]))
    assert view is not None
    texts = [token.text for token in view.pairs[0].answers[0][1].tokens]
    assert texts[:5] == ["·", "a↵\n", "\\x07", "\\u202egnp.", "\\n"] and len(texts[5]) < 100
