"""Answers and the micro-batches they become: nothing is lost, and packed is alone; their state goes through a file."""

from pathlib import Path

import pytest
import torch

from sartor.base.tensor_file import TensorFile, read_tensors
from sartor.data.packing import pack
from sartor.train.episodes import (
    PER_TOKEN,
    Episode,
    EpisodeBatch,
    PackedAnswers,
    answer_groups_of,
    answer_row,
    episodes_of,
    episodes_state,
    joined,
)
from sartor.train.log_probs import batch_log_probs
from tests.train import rollout_world as world
from tests.train.rollout_world import Shape, episode

SHAPES = [Shape(n // 4, 10 + 3 * (n // 4), 1 + (n * 7) % 9) for n in range(20)]


def same(one: Episode, other: Episode) -> None:
    assert one.row == other.row and one.finished is other.finished
    assert (one.prompt, one.score) == (other.prompt, other.score)
    for name in PER_TOKEN:
        mine, theirs = getattr(one, name), getattr(other, name)
        assert (mine is None and theirs is None) or torch.equal(mine, theirs), name


@pytest.mark.parametrize("with_value", [True, False])
@pytest.mark.parametrize("places", ["{}", "", "données/プロンプト.jsonl:{}", "a, b\tc:{}"])
@pytest.mark.parametrize("count", [1, 20])
def test_the_state_goes_through_a_file_exactly(tmp_path: Path, with_value: bool, places: str, count: int) -> None:
    made = [
        episode(shape, n, places.format(n), with_value, finished=n % 3 > 0) for n, shape in enumerate(SHAPES[:count])
    ]
    TensorFile(episodes_state(made))(tmp_path / "state")
    found = episodes_of(read_tensors(tmp_path / "state"))
    assert len(found) == count
    for one, other in zip(made, found, strict=True):
        same(one, other)


def test_no_answers_have_no_state() -> None:
    assert episodes_state([]) == {} and episodes_of({"kl_coefficient": torch.zeros(())}) == []


@pytest.mark.parametrize("max_tokens", [1, 20, 40, 64, 200, 10_000])
def test_answers_stay_with_their_prompt_and_none_is_lost(max_tokens: int) -> None:
    made = [episode(shape, n) for n, shape in enumerate(SHAPES)]
    rows = [each.row for each in made]
    batches = answer_groups_of(rows, [each.prompt for each in made], max_tokens)
    groups = [group for batch in batches for group in batch]
    assert sorted(index for group in groups for index in group.indices) == list(range(len(made)))
    for group in groups:
        assert [rows[index] for index in group.indices] == list(group.rows)
        assert len({made[index].prompt for index in group.indices}) == 1
        assert group.num_tokens <= max_tokens or len(group.rows) == 1
    for batch in batches:
        assert sum(group.num_tokens for group in batch) <= max_tokens or len(batch) == 1
        assert PackedAnswers.of(batch).batch.num_tokens <= max(max_tokens, max(group.num_tokens for group in batch))
    if max_tokens >= 64:  # every prompt's answers fit into one micro-batch
        assert len(groups) == 5
    if max_tokens == 1:
        assert len(batches) == len(made)


def test_packed_is_alone() -> None:
    model = world.model().eval()
    made = [episode(shape, n) for n, shape in enumerate(SHAPES)]
    rows = [each.row for each in made]
    alone = [batch_log_probs(model, pack([row])) for row in rows]
    for batch in answer_groups_of(rows, [each.prompt for each in made], 64):
        packed = PackedAnswers.of(batch)
        together = batch_log_probs(model, packed.batch).split([rows[index].num_trained for index in packed.order])
        assert packed.batch.where == tuple(rows[index].where for index in packed.order)
        for index, found in zip(packed.order, together, strict=True):
            torch.testing.assert_close(found, alone[index], rtol=1e-4, atol=1e-5)


def test_a_row_is_learnt_from_where_the_answer_begins() -> None:
    row = answer_row([5, 6, 7, 8], 1, "here")
    assert row.trained == [False, False, False, True] and row.num_trained == 1 and row.where == "here"


def test_divergence_is_summed_over_the_answer() -> None:
    made = episode(SHAPES[3], 3)
    assert made.length == SHAPES[3].answer_tokens


def test_what_only_some_answers_have_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        joined([torch.zeros(2), None])


def test_a_micro_batch_moves_whole_and_counts_its_answers_once() -> None:
    made = [episode(shape, n) for n, shape in enumerate(SHAPES[:4])]
    packed = PackedAnswers.of(answer_groups_of([each.row for each in made], [0] * 4, 1000)[0])
    tokens = torch.zeros(packed.batch.num_trained)
    policy = EpisodeBatch(packed.batch, tokens, tokens, 9, advantages=tokens, reference=tokens)
    value = EpisodeBatch(packed.batch, tokens, tokens, 9, returns=tokens)
    assert (policy.num_units, value.num_units) == (len(tokens), 0) and policy.of_policy and not value.of_policy
    assert (policy.num_trained, policy.num_row_tokens) == (packed.batch.num_trained, packed.batch.num_row_tokens)
    assert (value.num_trained, value.num_row_tokens) == (0, 0) and value.num_tokens == policy.num_tokens
    moved = policy.to(torch.device("meta"))
    held = (moved.old, moved.weights, moved.advantages, moved.reference, moved.rows.ids, moved.rows.targets)
    assert {each.device.type for each in held if each is not None} == {"meta"} and moved.returns is None
    assert value.to(torch.device("cpu")).returns is tokens
