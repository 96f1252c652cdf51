"""Packing in groups: where each token goes, what is there once, and where each row ends."""

import random

import pytest
import torch

from sartor.data.chat import Rendered
from sartor.data.packing import SHORTEST_SHARED_PREFIX_TOKENS, Batch, Span, needed_tokens, pack, pack_groups
from tests import tiny_models


def groups(draw: random.Random, common: int, prompts: list[int], answers: list[list[int]]) -> list[list[Rendered]]:
    """A group for each prompt length, with a row for each of its answer lengths; `common` tokens begin all of them."""

    def tokens(number: int) -> list[int]:
        return [draw.randrange(10, tiny_models.VOCABULARY) for _ in range(number)]

    beginning = tokens(common)
    made = []
    for length, own in zip(prompts, answers, strict=True):
        prompt = beginning + tokens(length)
        made.append([Rendered(prompt + tokens(n), [False] * len(prompt) + [True] * n) for n in own])
    return made


def untrained(row: Rendered) -> Rendered:
    return Rendered(row.ids, [False] * len(row.ids), row.where)


def seen_by(batch: Batch, place: int) -> list[int]:
    """The tokens that the one at `place` depends on, itself the last, in the order in which it sees them."""
    span = next(span for span in batch.spans if span.start <= place < span.end)
    before = [token for start, end in span.prefixes for token in batch.ids[start:end].tolist()]
    return before + batch.ids[span.start : place + 1].tolist()


def positions_seen_by(batch: Batch, place: int) -> list[int]:
    span = next(span for span in batch.spans if span.start <= place < span.end)
    before = [position for start, end in span.prefixes for position in batch.positions[start:end].tolist()]
    return before + batch.positions[span.start : place + 1].tolist()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("score", [False, True])
def test_every_row_reads_its_own_tokens_in_order(seed: int, score: bool) -> None:
    """Whatever is shared: what predicts a target has seen exactly the row's tokens before it, and what stands at a
    row's end has seen all that the row needs."""
    draw = random.Random(seed)
    prompts = [draw.randrange(1, 25) for _ in range(draw.randrange(1, 5))]
    answers = [[draw.randrange(1, 9) for _ in range(draw.randrange(1, 4))] for _ in prompts]
    made = groups(draw, draw.choice([0, 3, 12]), prompts, answers)
    if score:
        made = [[untrained(row) for row in group] for group in made]
    rows = [row for group in made for row in group]
    batch = pack_groups(made)

    wanted = [
        (owner, row.ids[:place], row.ids[place])
        for owner, row in enumerate(rows)
        for place in range(1, len(row.ids))
        if row.trained[place]
    ]
    found = [
        (owner, seen_by(batch, source), target)
        for owner, source, target in zip(
            batch.owners.tolist(), batch.sources.tolist(), batch.targets.tolist(), strict=True
        )
    ]
    assert found == wanted
    for row, end in zip(rows, batch.ends.tolist(), strict=True):
        assert seen_by(batch, end) == row.ids[: needed_tokens(row)]
        assert positions_seen_by(batch, end) == list(range(needed_tokens(row)))
    assert batch.num_row_tokens == sum(len(row.ids) for row in rows) and batch.num_trained == len(wanted)
    covered = [place for span in batch.spans for place in range(span.start, span.end)]
    assert covered == list(range(batch.num_tokens)), "every computed token is in exactly one span"


def test_a_prompt_is_there_once_a_group_and_a_common_beginning_once() -> None:
    made = groups(random.Random(0), 10, [20, 15], [[5, 7], [4, 6, 3]])
    batch = pack_groups(made)
    unneeded = 5  # each row's last token is only predicted
    assert batch.num_tokens == 10 + (20 + 5 + 7) + (15 + 4 + 6 + 3) - unneeded
    first, second = (0, 10), (10, 30)
    assert batch.spans[:3] == (Span(0, 10), Span(10, 30, (first,)), Span(30, 34, (first, second)))
    assert pack_groups(made, share_prefix=False).num_tokens == sum(len(row.ids) - 1 for group in made for row in group)


def test_what_is_hardly_shared_is_computed_twice() -> None:
    short = SHORTEST_SHARED_PREFIX_TOKENS - 1
    for common, prompt in ((0, short), (12, short), (short, 0)):
        (group,) = groups(random.Random(1), common, [prompt], [[4, 6]])
        (other,) = groups(random.Random(2), 0, [30], [[4]])
        shared = common if common > short and not prompt else 0
        batch = pack_groups([group, other])
        assert batch.num_tokens == sum(len(row.ids) - 1 for row in [*group, *other]) - shared - (
            common + prompt if common + prompt > short else 0
        )


def test_rows_that_share_nothing_are_a_group_all_the_same() -> None:
    rows = tiny_models.rows([9, 14])
    assert pack_groups([rows]).ids.tolist() == pack(rows).ids.tolist()
    assert pack_groups([rows]).spans == (Span(0, 8), Span(8, 21))


def test_answers_that_begin_alike_share_no_more_than_the_prompt() -> None:
    """A token that is learnt belongs to its row, though the rival row has the same one there."""
    prompt = tiny_models.rows([12])[0].ids
    rows = [Rendered([*prompt, 5, 6, last], [False] * 12 + [True] * 3) for last in (7, 8)]
    batch = pack_groups([rows])
    assert batch.owners.tolist() == [0, 0, 0, 1, 1, 1]
    assert batch.targets.tolist() == [5, 6, 7, 5, 6, 8]
    assert batch.num_tokens == 12 + 2 + 2


def test_rows_of_one_learnt_token_end_where_their_prompt_does() -> None:
    prompt = tiny_models.rows([12])[0].ids
    rows = [Rendered([*prompt, token], [False] * 12 + [True]) for token in (5, 6)]
    batch = pack_groups([rows, tiny_models.rows([9], seed=1)])
    assert batch.ends.tolist() == [11, 11, 19] and batch.num_tokens == 12 + 8
    assert batch.sources[:2].tolist() == [11, 11]


def test_of_rows_to_be_scored_one_that_begins_another_keeps_its_last_token() -> None:
    whole = untrained(tiny_models.rows([14])[0])
    beginning = Rendered(whole.ids[:10], [False] * 10)
    batch = pack_groups([[whole, beginning]])
    assert [seen_by(batch, end) for end in batch.ends.tolist()] == [whole.ids, beginning.ids]
    assert batch.num_trained == 0


def test_sums_are_over_each_row_s_own_tokens() -> None:
    made = groups(random.Random(3), 0, [10, 12], [[3, 5], [2, 4]])
    made[1].append(untrained(made[1][0]))
    batch = pack_groups(made)
    values = torch.arange(1.0, 15.0, requires_grad=True)
    sums = batch.row_sums(values)
    assert sums.tolist() == [1 + 2 + 3, 4 + 5 + 6 + 7 + 8, 9 + 10, 11 + 12 + 13 + 14, 0]
    (sums * torch.tensor([1.0, 2, 3, 4, 5])).sum().backward()
    assert values.grad is not None and values.grad.tolist() == [1.0] * 3 + [2.0] * 5 + [3.0] * 2 + [4.0] * 4
    assert batch.row_sums(values.detach().bfloat16()).dtype == torch.float32
