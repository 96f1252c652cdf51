"""The certificate counts right and refuses nothing-to-learn."""

import pytest

from sartor.base.errors import DataError
from sartor.data.chat import ChatFormat, Rendered
from sartor.train.certificate import certify, keep_rows_that_fit
from tests import tiny_models

CHAT = ChatFormat(tiny_models.tokenizer())


def rendered(answer: str) -> Rendered:
    return CHAT.render([{"role": "user", "content": "the cat?"}, {"role": "assistant", "content": answer}], "r:1")[0]


def test_counts_are_those_of_the_rows() -> None:
    rows = [rendered("sat"), rendered("on the mat"), rendered("the dog " * 50)]
    limit = len(rows[1].ids)
    certificate = certify(rows, CHAT, limit)
    assert (certificate.rows, certificate.rows_too_long) == (2, 1)
    assert certificate.row_tokens == len(rows[0].ids) + len(rows[1].ids)
    assert certificate.trained_tokens == rows[0].num_trained + rows[1].num_trained
    assert certificate.trained_tokens_min == rows[0].num_trained
    assert certificate.rows_ending_inside_loss == 2
    assert keep_rows_that_fit(rows, limit) == rows[:2]
    assert any("1 rows left out" in sentence for sentence in certificate.sentences())


def test_the_shown_rows_mark_what_is_learnt() -> None:
    (shown,) = certify([rendered("sat on it")], CHAT, 100).shown
    assert shown == ("<|im_start|>user\nthe cat?<|im_end|>\n<|im_start|>assistant\n⟦sat on it<|im_end|>⟧\n")


def test_a_row_without_its_end_of_turn_is_counted() -> None:
    row = rendered("sat")
    cut = Rendered(row.ids[:-2], row.trained[:-2])
    certificate = certify([row, cut], CHAT, 100)
    assert certificate.rows_ending_inside_loss == 1
    assert "end of turn is learnt in 1 of 2 rows only" in certificate.sentences()


def test_rows_with_nothing_to_learn_are_counted_apart() -> None:
    row = rendered("sat")
    hidden = Rendered([1] * 50, [False] * 50)
    certificate = certify([hidden, row], CHAT, 100)
    assert (certificate.rows, certificate.rows_without_trained_token) == (1, 1)
    assert certificate.row_tokens == certificate.longest_row_tokens == row.num_tokens
    assert certificate.trained_tokens_min == certificate.trained_tokens_median == row.num_trained
    assert len(certificate.shown) == certificate.rows_ending_inside_loss == 1


@pytest.mark.parametrize("rows", [[], [Rendered([1, 2, 3], [False] * 3, "r:1")], [rendered("the dog " * 50)]])
def test_nothing_to_learn_is_refused(rows: list[Rendered]) -> None:
    with pytest.raises(DataError, match="nothing to learn"):
        certify(rows, CHAT, 30)
