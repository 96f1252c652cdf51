"""Batches of sampled answers: functions of seed and weights, dealt out whole, weighted rightly, resumed exactly."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.base.tensor_file import TensorFile, read_tensors
from sartor.data.packing import Batch
from sartor.train.actors import POLICY, VALUE
from sartor.train.episodes import EpisodeBatch
from sartor.train.objectives.policy import Normalise
from sartor.train.rl_loss import RolloutLoss
from sartor.train.rollouts import RolloutSource, answer_seed
from sartor.train.traces import TRACES_FILE, TraceLog, read_traces
from tests.train import rollout_world as world

STEPS = world.SIZES.steps_per_batch


def policies(batches: list[EpisodeBatch]) -> list[EpisodeBatch]:
    return [batch for batch in batches if batch.of_policy]


def same(mine: list[EpisodeBatch], theirs: list[EpisodeBatch]) -> None:
    assert len(mine) == len(theirs) and mine
    for one, other in zip(mine, theirs, strict=True):
        assert (one.rows.where, one.rows.spans, one.of_policy) == (other.rows.where, other.rows.spans, other.of_policy)
        assert one.num_tokens_of_step == other.num_tokens_of_step
        for name in ("old", "weights", "advantages", "reference", "returns"):
            a, b = getattr(one, name), getattr(other, name)
            assert (a is None and b is None) or torch.equal(a, b), name
        for name in ("ids", "positions", "sources", "targets"):
            assert torch.equal(getattr(one.rows, name), getattr(other.rows, name)), name


def walk(source: RolloutSource, first: int, last: int) -> list[list[EpisodeBatch]]:
    """The steps' batches, with weights that change after every step as a function of its number alone."""
    made = []
    for step in range(first, last):
        made.append(source.step(step))
        world.changed_weights(source.actors.model, step)  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize("with_value", [True, False])
def test_the_same_seed_and_weights_give_the_same_batches(with_value: bool) -> None:
    sources = [world.source(world.actors(world.model(dropout=0.2), with_value)) for _ in range(2)]
    torch.manual_seed(5)
    first = walk(sources[0], 0, 2 * STEPS)
    torch.manual_seed(6)  # nothing depends on the global state
    second = walk(sources[1], 0, 2 * STEPS)
    for mine, theirs in zip(first, second, strict=True):
        same(mine, theirs)
    assert sources[0].metrics() == sources[1].metrics()
    other = world.source(world.actors(world.model(dropout=0.2), with_value), seed=4).step(0)
    assert [batch.rows.ids.tolist() for batch in other] != [batch.rows.ids.tolist() for batch in first[0]]


@pytest.mark.parametrize("with_value", [True, False])
@pytest.mark.parametrize("stop", [1, 2, 4, 7])
def test_going_on_in_the_middle_of_a_batch(tmp_path: Path, with_value: bool, stop: int) -> None:
    """Metrics, micro-batches and traces are those of a run that never stopped; traces after the checkpoint go."""
    end = 3 * STEPS
    with TraceLog(tmp_path) as log:
        straight = world.source(world.actors(world.model(dropout=0.2), with_value), log)
        expected = walk(straight, 0, end)
    expected_traces = (tmp_path / TRACES_FILE).read_bytes()

    (tmp_path / "other").mkdir()
    model = world.model(dropout=0.2)
    with TraceLog(tmp_path / "other") as log:
        begun = world.source(world.actors(model, with_value), log)
        walk(begun, 0, stop)
        TensorFile(begun.state())(tmp_path / "state")
        told = begun.metrics()
        saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        walk(begun, stop, min(stop + 3, end))  # lost
    model.load_state_dict(saved)
    with TraceLog(tmp_path / "other") as log:
        log.rewind(stop)
        going_on = world.source(world.actors(model, with_value), log)
        going_on.load_state(read_tensors(tmp_path / "state"))
        if stop % STEPS:
            assert list(going_on.metrics().items()) == list(told.items())
        for mine, theirs in zip(walk(going_on, stop, end), expected[stop:], strict=True):
            same(mine, theirs)
    assert list(going_on.metrics().items()) == list(straight.metrics().items())  # in their order, too
    assert (tmp_path / "other" / TRACES_FILE).read_bytes() == expected_traces


@pytest.mark.parametrize("minibatches", [1, 2, 3, 4])
def test_minibatches_deal_out_a_pass(minibatches: int) -> None:
    source = world.source(world.actors(world.model()), minibatches=minibatches, passes=2)
    deals = []
    for turn in range(2):
        steps = [source.step(turn * minibatches + n) for n in range(minibatches)]
        assert all(policies(step) for step in steps)
        tokens = [batch.num_trained for step in steps for batch in policies(step)]
        assert sum(tokens) == sum(each.length for each in source.episodes) and len(source.episodes) == 4 * 3
        targets = [batch.rows.targets for step in steps for batch in policies(step)]
        expected = [token for each in source.episodes for token in each.row.ids[-each.length :]]
        assert sorted(torch.cat(targets).tolist()) == sorted(expected)
        places = [{where for batch in step for where in batch.where} for step in steps]
        assert sum(map(len, places)) == len(set.union(*places)) == 4  # whole prompts
        deals.append([sorted(place) for place in places])
    assert minibatches == 1 or deals[0] != deals[1]  # every pass deals anew


@pytest.mark.parametrize("prompts", [1, 5])
def test_a_small_last_batch_leaves_no_step_empty(prompts: int) -> None:
    """Five prompts in batches of four: the second batch is of one prompt, and has two minibatches."""
    source = world.source(world.actors(world.model()), prompts=prompts)
    assert source.steps_per_epoch == -(-prompts // 4) * STEPS
    for step in range(source.steps_per_epoch):
        batches = source.step(step)
        assert sum(float(batch.weights.sum()) for batch in policies(batches)) == pytest.approx(1)
    assert len(source.episodes) == 3


@pytest.mark.parametrize("normalise", ["tokens", "answers", "constant"])
def test_what_tokens_count(normalise: Normalise) -> None:
    source = world.source(world.actors(world.model()), normalise=normalise)
    for step in range(STEPS):
        batches = source.step(step)
        policy = policies(batches)
        num_tokens = sum(batch.num_trained for batch in policy)
        num_answers = sum(len(batch.where) for batch in policy)
        total = sum(float(batch.weights.sum()) for batch in policy)
        assert total == pytest.approx(num_tokens / (num_answers * 8) if normalise == "constant" else 1)
        assert {batch.num_tokens_of_step for batch in batches} == {num_tokens}
        values = [batch for batch in batches if not batch.of_policy]
        assert sum(float(batch.weights.sum()) for batch in values) == pytest.approx(1)
        assert sum(batch.num_units for batch in batches) == num_tokens


def gradients(source: RolloutSource, step: int) -> dict[str, torch.Tensor]:
    model = source.actors.model
    loss_of = RolloutLoss(source.actors, 0.2, 0.3, 0.1, 0.05, 0.5)
    for batch in source.step(step):
        loss_of(model, batch, 1)[0].backward()  # type: ignore[no-untyped-call]
    found = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad()
    return found


def test_where_a_step_is_cut_does_not_change_its_gradient() -> None:
    counts, found = [], []
    for tokens in (1, 60, 100_000):
        source = world.source(world.actors(world.model()), micro_batch_tokens=tokens)
        counts.append(len(source.step(0)))
        world.changed_weights(source.actors.model)  # type: ignore[arg-type]
        found.append(gradients(source, 1))
    assert counts[0] > counts[1] > counts[2] == 2  # of the policy and of the value function
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for name, gradient in other.items():
            torch.testing.assert_close(gradient, found[0][name], rtol=1e-3, atol=1e-6)


def test_the_ratio_is_one_in_the_first_update() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        source = world.source(world.actors(world.model(dtype=dtype)))
        loss_of = RolloutLoss(source.actors, 0.2, 0.2, value_coefficient=0.1)
        for batch in source.step(0):
            role = POLICY if batch.of_policy else VALUE
            metrics = loss_of(source.actors.model, batch, 1)[1]
            assert metrics.get("clip_share", 0.0) == 0.0, role
            if batch.of_policy:
                assert metrics["ratio"] == pytest.approx(batch.num_trained / batch.num_tokens_of_step, rel=1e-6)
            else:
                assert metrics["value_clip_share"] == 0.0


@pytest.mark.parametrize("penalty", [0.0, 0.1])
def test_answers_learnt_from_once_teach_the_same_without_being_computed_before(penalty: float) -> None:
    """One pass takes the update's own log-probabilities for the old ones; of several, the first must agree with it."""
    found, told = [], []
    for passes in (1, 2):
        of = world.actors(world.model(), with_value=False)
        source = world.source(of, passes=passes, minibatches=1, holds_reference=penalty > 0, traced_answers=0)
        loss_of = RolloutLoss(of, 0.2, 0.3, penalty)
        batches = source.step(0)
        assert {batch.old is None for batch in batches} == {passes == 1}
        assert {batch.reference is None for batch in batches} == {penalty == 0}
        metrics = [loss_of(of.model, batch, 1) for batch in batches]
        for loss, _ in metrics:
            loss.backward()  # type: ignore[no-untyped-call]
        found.append({name: each.grad for name, each in of.model.named_parameters() if each.grad is not None})
        assert sum(each["ratio"] for _, each in metrics) == pytest.approx(1)
        told.append(source.metrics())
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-4, atol=1e-6)
    assert told[0]["entropy"] == pytest.approx(told[1]["entropy"], rel=1e-5)
    assert 0 < told[0]["log_prob_gap_mean"] <= told[0]["log_prob_gap"] < 1e-4
    if penalty:
        assert told[0]["kl"] == pytest.approx(told[1]["kl"], rel=1e-4)


def test_what_only_is_told_is_computed_of_a_few_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    of = world.actors(world.model(), with_value=False)
    sizes: list[int] = []
    reference = of.reference_log_probs

    def counted(batch: Batch) -> torch.Tensor:
        sizes.append(len(batch.where))
        return reference(batch)

    monkeypatch.setattr(of, "reference_log_probs", counted)
    source = world.source(of, passes=1, minibatches=1, holds_reference=False, traced_answers=3)
    source.step(0)
    assert sum(sizes) == 3 and len(source.episodes) == 12
    saved = source.state()
    again = world.source(of, passes=1, minibatches=1, holds_reference=False, traced_answers=3)
    again.load_state(saved)
    assert again.metrics() == source.metrics() and all(each.reference is None for each in again.episodes)


def test_metrics_stay_through_a_batch_and_say_what_was_sampled() -> None:
    source = world.source(world.actors(world.model()))
    seen = []
    for step in range(2 * STEPS):
        source.step(step)
        world.changed_weights(source.actors.model, step)  # type: ignore[arg-type]
        seen.append(source.metrics())
    assert all(seen[step] == seen[step - step % STEPS] for step in range(2 * STEPS)) and seen[0] != seen[STEPS]
    told = seen[-1]
    scores = [each.score for each in source.episodes]
    lengths = [each.length for each in source.episodes]
    assert told["reward"] == pytest.approx(sum(scores) / len(scores))
    assert told["answer_tokens"] == pytest.approx(sum(lengths) / len(lengths))
    assert told["finished_share"] == pytest.approx(sum(each.finished for each in source.episodes) / len(scores))
    assert told["reward"] == pytest.approx(told["reward_length"] + 0.1 * told["reward_finished"])
    apart = [float((each.log_probs - each.reference).sum()) for each in source.episodes if each.reference is not None]
    assert told["kl"] == pytest.approx(sum(apart) / len(scores))
    assert 0 < told["log_prob_gap_mean"] <= told["log_prob_gap"] < 1e-4
    assert {"kl_coefficient", "explained_variance"} <= told.keys()
    assert 0 < told["entropy"] < 2 * math.log(400)


def test_there_is_no_divergence_before_the_first_update() -> None:
    source = world.source(world.actors(world.model(spread=0.0)))
    source.step(0)
    assert source.metrics()["kl"] == 0.0


def test_answers_that_did_not_end_are_worth_less() -> None:
    """The penalty is in the advantages and not in the reward that is told."""
    found = []
    for penalty in (0.0, 0.5):
        of = world.actors(world.model(), with_value=False)
        source = world.source(of, unfinished_penalty=penalty, max_new_tokens=3)
        source.step(0)
        found.append(source)
    free, fined = found
    assert [each.score for each in free.episodes] == [each.score for each in fined.episodes]
    mixed = [n for n in range(4) if len({each.finished for each in free.episodes if each.prompt == n}) > 1]
    for one, other in zip(free.episodes, fined.episodes, strict=True):
        if one.prompt not in mixed:
            torch.testing.assert_close(one.advantages, other.advantages)


def test_a_fine_is_taken_off_what_did_not_end() -> None:
    """A stand-in for the sampler's luck: every answer of the second kind ended."""
    seen = []

    class Watching:
        def __call__(self, sampled: Any) -> Any:
            seen.append(sampled.scores)
            return inner(sampled)

        state = staticmethod(lambda: {})
        load_state = staticmethod(lambda tensors: None)

    of = world.actors(world.model(), with_value=False)
    inner: Callable[[Any], Any] = world.source(of).estimate
    source = world.source(of, unfinished_penalty=0.25, estimate=Watching())  # type: ignore[arg-type]
    source.step(0)
    expected = [each.score - (0.0 if each.finished else 0.25) for each in source.episodes]
    assert seen[0].tolist() == pytest.approx(expected) and any(not each.finished for each in source.episodes)


def test_traces_are_written_once_a_batch(tmp_path: Path) -> None:
    with TraceLog(tmp_path) as log:
        source = world.source(world.actors(world.model()), log)
        walk(source, 0, 2 * STEPS)
    traces = read_traces(tmp_path / TRACES_FILE)
    assert [trace.step for trace in traces] == [1, 1, STEPS + 1, STEPS + 1]
    last, episode = traces[-1], source.episodes[1]
    assert last.score == pytest.approx(episode.score, rel=1e-5) and last.finished is episode.finished
    assert last.log_probs == pytest.approx(episode.log_probs.tolist(), rel=1e-5)
    assert episode.reference is not None
    assert last.reference_log_probs == pytest.approx(episode.reference.tolist(), rel=1e-5)
    assert "".join(last.tokens) == source.actors.chat.decode(episode.row.ids[-episode.length :])
    assert last.values is not None and episode.values is not None
    assert last.values == pytest.approx(episode.values.tolist(), rel=1e-5)
    assert last.where == episode.row.where and last.kl == pytest.approx(
        float((episode.log_probs - episode.reference).sum()), rel=1e-4, abs=1e-6
    )


def test_every_answer_has_draws_of_its_own() -> None:
    seeds = {answer_seed(s, b, p, a) for s in range(3) for b in range(20) for p in range(20) for a in range(8)}
    assert len(seeds) == 3 * 20 * 20 * 8
