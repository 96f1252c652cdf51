"""A preference pair's tokens: only the answers are learnt, each to its end of turn, after one and the same prompt."""

import pytest
import torch

from sartor.base.errors import DataError
from sartor.data.chat import ChatFormat
from sartor.data.pairs import Pair, PairBatch, PairSource, pair_batches, render_pair, scored, up_to_end_of_turn
from sartor.data.preferences import read_preference
from sartor.data.records import Conversation, Message, Preference
from tests import tiny_models

KINDS = ("chatml", "llama3", "gemma", "none")


def turn(role: str, content: str) -> Message:
    return Message(role=role, content=content)


def said(*contents: str) -> Conversation:
    """Turns by turns: user, assistant, user, …"""
    return [turn(("user", "assistant")[place % 2], content) for place, content in enumerate(contents)]


def preference(prompt: Conversation, chosen: str, rejected: str) -> Preference:
    return Preference(prompt, [turn("assistant", chosen)], [turn("assistant", rejected)], "rows.jsonl:3")


def pairs(lengths: list[tuple[int, int]]) -> list[Pair]:
    """Pairs of answers of those many learnt tokens to prompts of their own."""
    made = []
    for number, (chosen, rejected) in enumerate(lengths):
        rows = tiny_models.rows([3 * chosen // 2, 3 * rejected // 2], shared=10, seed=number)
        made.append(Pair(rows[0], rows[1]))
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_answer_is_learnt_to_its_end_of_turn(kind: str) -> None:
    chat = ChatFormat(tiny_models.tokenizer(kind))
    prompt = said("the dog", "the cat said nothing", "and the mat")  # an earlier answer is part of what is asked
    pair = render_pair(preference(prompt, "on the mat", "at all"), chat)
    asked = chat.prompt(prompt)
    for row, answer in ((pair.chosen, "on the mat"), (pair.rejected, "at all")):
        assert row.ids[: len(asked)] == asked and row.where == "rows.jsonl:3"
        assert row.trained == [place >= len(asked) for place in range(len(row.ids))]
        assert chat.decode(row.ids[len(asked) :]) == answer
        assert row.ids[-1] in chat.stop_ids, "the last token ends the turn, and is learnt"
        assert set(row.ids[len(asked) : -1]).isdisjoint(chat.stop_ids)
    if kind == "none":
        assert pair.chosen.ids[-1] == chat.tokenizer.eos_token_id == chat.tokenizer.pad_token_id


def test_answers_that_merge_differently_with_the_prompt_share_it_all_the_same() -> None:
    """Written as one text, `Answer: ` and `the` share a token, so the rivals would differ before they begin."""
    chat = ChatFormat(tiny_models.tokenizer("none"))
    prompt = said("the dog")
    asked = chat.prompt(prompt)
    pair = render_pair(preference(prompt, "the cat", "9 cats"), chat)
    text = chat.tokenizer.decode(pair.chosen.ids)
    assert chat.tokenizer(text, add_special_tokens=False).input_ids[: len(asked)] != asked
    assert pair.chosen.ids[: len(asked)] == pair.rejected.ids[: len(asked)] == asked
    assert PairBatch.of([pair]).num_tokens == pair.num_tokens - len(asked) - 2  # no row's last token is needed


def test_a_template_that_forgets_thoughts_of_earlier_turns() -> None:
    chat = ChatFormat(tiny_models.tokenizer("forgetful"))
    prompt = said("the dog", "hm</think>the cat", "and the mat")
    pair = render_pair(preference(prompt, "yes</think>on the mat", "at all"), chat)
    asked = chat.prompt(prompt)
    assert "hm" not in chat.decode(asked)
    assert pair.chosen.ids[: len(asked)] == asked and chat.decode(pair.chosen.ids[len(asked) :]) == (
        "yes</think>on the mat"
    )
    several = Preference(said("the dog"), said("", "hm</think>cat", "sat", "mat")[1:], said("", "dog")[1:], "here:1")
    with pytest.raises(DataError, match="rewrites earlier turns") as raised:
        render_pair(several, chat)
    assert raised.value.where == "here:1"


def test_all_of_an_answer_s_own_turns_are_learnt_and_none_of_the_user_s() -> None:
    chat = ChatFormat(tiny_models.tokenizer())
    several = Preference(said("the dog"), said("", "the cat", "sat", "mat")[1:], said("", "dog")[1:])
    row = render_pair(several, chat).chosen
    learnt = [token for token, trained in zip(row.ids, row.trained, strict=True) if trained]
    assert chat.tokenizer.decode(learnt) == "the cat<|im_end|>mat<|im_end|>"


def test_to_be_scored_a_row_learns_nothing_and_is_needed_to_its_end_of_turn() -> None:
    chat = ChatFormat(tiny_models.tokenizer())
    pair = render_pair(preference(said("the dog"), "on the mat", "at all"), chat)
    batch = PairBatch.of([scored(pair)])
    assert batch.num_trained == 0 and batch.num_units == 1
    assert batch.rows.ids[batch.rows.ends].tolist() == [pair.chosen.ids[-1], pair.rejected.ids[-1]]
    assert set(batch.rows.ids[batch.rows.ends].tolist()) <= chat.stop_ids


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_was_cut_does_not_learn_to_end_there(kind: str) -> None:
    """Its end of turn is there for a reward model to read at, and not trained; the other answer learns its own."""
    chat = ChatFormat(tiny_models.tokenizer(kind))
    row = {"prompt": "the dog", "chosen": "on the mat", "rejected": "at all", "chosen_cut": True}
    whole = render_pair(read_preference(row | {"chosen_cut": False}, "rows.jsonl:3"), chat)
    pair = render_pair(read_preference(row, "rows.jsonl:3"), chat)
    assert pair.chosen.ids == whole.chosen.ids and pair.chosen.ids[-1] in chat.stop_ids
    assert pair.chosen.trained == [*whole.chosen.trained[:-1], False] and whole.chosen.trained[-1]
    assert pair.rejected == whole.rejected
    batch = PairBatch.of([pair])
    assert batch.tokens.tolist() == [whole.chosen.num_trained - 1, whole.rejected.num_trained]
    assert scored(pair) == scored(whole)
    assert read_preference(row | {"rejected_cut": "true"}, "here").is_cut == (True, True)


def test_what_a_template_writes_behind_the_turn_is_cut() -> None:
    (row,) = tiny_models.rows([9])
    longer = type(row)([*row.ids, 7, 7], [*row.trained, False, False], "here")
    assert up_to_end_of_turn(longer) == type(row)(row.ids, row.trained, "here")
    nothing = type(row)(row.ids, [False] * 9)
    assert up_to_end_of_turn(nothing) == nothing


def test_a_batch_knows_its_pairs() -> None:
    made = pairs([(4, 6), (8, 2)])
    batch = PairBatch.of([Pair(pair.chosen, pair.rejected, (-1.5, -n)) for n, pair in enumerate(made)])
    assert batch.num_units == 2 and batch.tokens.tolist() == [4, 6, 8, 2] and batch.num_trained == 20
    assert batch.reference is not None and batch.reference.tolist() == [-1.5, 0, -1.5, -1]
    assert batch.to(torch.device("cpu")).tokens.tolist() == [4, 6, 8, 2]
    assert PairBatch.of([made[0], Pair(made[1].chosen, made[1].rejected, (-1.0, -2.0))]).reference is None
    assert batch.num_row_tokens == sum(pair.num_tokens for pair in made)


@pytest.mark.parametrize("processes", [1, 3])
def test_a_step_has_its_pairs_whole_and_an_epoch_all_of_them(processes: int) -> None:
    made = [
        Pair(*(type(row)(row.ids, row.trained, str(n)) for row in (pair.chosen, pair.rejected)), (float(-n), 0.0))
        for n, pair in enumerate(pairs([(2 + n % 5, 3 + n % 7) for n in range(23)]))
    ]
    source = PairSource(made, 6, 80, seed=3, processes=processes)
    assert source.steps_per_epoch == 4
    seen = []
    for step in range(4):
        batches = source.step(step)
        assert sum(batch.num_units for batch in batches) == len(source.rows_of(step))
        assert sorted(where for batch in batches for where in batch.where) == sorted(
            pair.where for pair in source.rows_of(step)
        )
        for batch in batches:
            assert batch.reference is not None
            assert batch.reference[::2].tolist() == [-float(where) for where in batch.where], "the pair's own reference"
            seen += batch.where
    assert sorted(seen, key=int) == [str(n) for n in range(23)]


def test_cuts_hold_their_size() -> None:
    made = pairs([(2 + n % 5, 3 + n % 7) for n in range(23)])
    cut = pair_batches(made, 80)
    assert len(cut) > 3 and sum(batch.num_units for batch in cut) == 23
    assert all(batch.num_row_tokens <= 80 or batch.num_units == 1 for batch in cut)
