"""Windows of running text: documents apart, every token a target once, the same for the same step."""

import numpy as np
import pytest
import torch

from sartor.data.chat import Rendered
from sartor.data.packing import pack
from sartor.data.token_shards.stream import Window
from sartor.data.windows import WindowSource, pack_windows
from sartor.train.log_probs import batch_log_probs
from tests import tiny_models


def window(ids: list[int], starts: tuple[int, ...] = (0,)) -> Window:
    return Window(np.array(ids, dtype=np.int64), starts, "train window 0")


class Stream:
    """Windows of 4 tokens: window i begins with token 10 i. An epoch has 10."""

    window_tokens, windows_per_epoch, seed = 4, 10, 0

    def window(self, index: int) -> Window:
        return window([10 * index + place for place in range(5)])


def test_targets_are_the_next_tokens_of_the_same_document() -> None:
    batch = pack_windows([window([1, 2, 3, 4, 5, 6, 7], (0, 3, 6))])  # documents 1 2 3 | 4 5 6 | 7
    assert batch.ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert batch.positions.tolist() == [0, 1, 2, 0, 1, 2]
    pairs = list(zip(batch.ids[batch.sources].tolist(), batch.targets.tolist(), strict=True))
    assert pairs == [(1, 2), (2, 3), (4, 5), (5, 6)]  # neither 3 -> 4 nor 6 -> 7
    assert batch.owners.tolist() == [0, 0, 1, 1]
    assert [(span.start, span.end) for span in batch.spans] == [(0, 3), (3, 6)]
    assert batch.num_row_tokens == 6 and batch.num_trained == 4


def test_a_document_that_goes_on_is_predicted_to_the_windows_end() -> None:
    batch = pack_windows([window([1, 2, 3, 4]), window([4, 5, 6, 7])])
    assert batch.targets.tolist() == [2, 3, 4, 5, 6, 7]
    assert batch.owners.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_packed_windows_are_their_documents_computed_alone(family: str) -> None:
    model = tiny_models.model(family)
    draw = np.random.default_rng(0)
    ids = draw.integers(0, 300, 13).tolist()
    together = batch_log_probs(model, pack_windows([window(ids, (0, 5, 9))]))
    alone = []
    for first, last in ((0, 5), (5, 9), (9, 13)):
        part = ids[first:last]
        rows = [Rendered(part, [False] + [True] * (len(part) - 1))]
        alone.append(batch_log_probs(model, pack(rows)))
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_a_step_is_its_windows_cut_to_what_fits() -> None:
    source = WindowSource(Stream(), windows_per_step=5, micro_batch_tokens=8)  # type: ignore[arg-type]
    batches = source.step(2)
    assert [batch.num_tokens for batch in batches] == [4, 8, 8]
    again = WindowSource(Stream(), windows_per_step=5, micro_batch_tokens=8).step(2)  # type: ignore[arg-type]
    assert all(torch.equal(a.ids, b.ids) for a, b in zip(batches, again, strict=True))
    assert source.steps_asked == 3


def test_an_epoch_reads_every_window_once_in_an_order_of_its_own() -> None:
    source = WindowSource(Stream(), windows_per_step=5, micro_batch_tokens=8)  # type: ignore[arg-type]
    read = [[int(first) for batch in source.step(step) for first in batch.ids[::4]] for step in range(4)]
    first, second = read[0] + read[1], read[2] + read[3]
    assert sorted(first) == list(range(0, 100, 10)) and sorted(second) == list(range(100, 200, 10))
    assert first != sorted(first) and [place - 100 for place in second] != first


def test_a_window_longer_than_a_micro_batch_stands_alone() -> None:
    source = WindowSource(Stream(), windows_per_step=2, micro_batch_tokens=3)  # type: ignore[arg-type]
    assert [batch.num_tokens for batch in source.step(0)] == [4, 4]
