"""Traces: whole or not at all, the same bytes after an interruption, token texts that add up."""

import math
from dataclasses import replace

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from sartor.base.errors import DataError
from sartor.train.traces import TRACES_FILE, Trace, TraceLog, each_trace, read_traces, token_texts


def made(step: int, where: str = "row 1", **changes) -> Trace:
    trace = Trace(
        step=step, prompt="What is 2 + 2?", tokens=["fo", "ur", "<end>"], log_probs=[-0.5, -0.25, -0.125],
        reference_log_probs=[-0.75, -0.25, -0.5], advantages=[1.0, 0.5, -0.5], rewards=[0.0, 0.0, 1.0],
        values=[0.1, 0.2, 0.3], score=1.0, finished=True, kl=0.625, where=where,
    )  # fmt: skip
    return replace(trace, **changes)


def written(folder, steps, torn=b""):
    folder.mkdir()
    with TraceLog(folder) as log:
        for step in steps:
            log.append([made(step, f"row {row}", score=step + row / 3) for row in range(2)])
    with (folder / TRACES_FILE).open("ab") as file:
        file.write(torn)
    return folder / TRACES_FILE


def test_what_was_written_is_read_back(tmp_path):
    traces = [made(1), made(1, values=None, finished=False, prompt="NaN"), made(2, score=math.inf)]
    with TraceLog(tmp_path) as log:
        log.append(traces)
    assert read_traces(tmp_path / TRACES_FILE) == traces == list(each_trace(tmp_path / TRACES_FILE))
    assert read_traces(tmp_path / TRACES_FILE, last=1) == traces[-1:]
    assert read_traces(tmp_path / TRACES_FILE, last=0) == []
    assert read_traces(tmp_path / "nothing.jsonl") == []


def test_numbers_keep_six_figures(tmp_path):
    with TraceLog(tmp_path) as log:
        log.append([made(1, score=1 / 3, advantages=[1e-9 / 3, 2 / 3e-5, -math.inf])])
    (trace,) = read_traces(tmp_path / TRACES_FILE)
    assert trace.score == 0.333333 and trace.advantages == [3.33333e-10, 66666.7, -math.inf]


@pytest.mark.parametrize("interrupted_after", [0, 2, 3, 5])
@pytest.mark.parametrize("torn", [b"", b'{"step": 6, "prompt": "ha'])
def test_a_resumed_run_leaves_the_bytes_of_one_that_was_not_interrupted(tmp_path, interrupted_after, torn):
    whole = written(tmp_path / "whole", range(1, 9))
    broken = written(tmp_path / "broken", range(1, 6), torn)
    with TraceLog(tmp_path / "broken") as log:
        log.rewind(interrupted_after)
        for step in range(interrupted_after + 1, 9):
            log.append([made(step, f"row {row}", score=step + row / 3) for row in range(2)])
        log.sync()
    assert broken.read_bytes() == whole.read_bytes()


def test_a_torn_line_is_not_read_and_a_broken_one_is_told(tmp_path):
    path = written(tmp_path / "run", [1], torn=b'{"step": 2')
    assert [each.step for each in read_traces(path)] == [1, 1]
    for line in ("{]", "[1]", '{"step": 1}', '{"step": "1"}'):
        path.write_text(line + "\n")
        with pytest.raises(DataError, match=r"traces\.jsonl: a line is no trace"):
            read_traces(path)


def test_a_list_of_another_length_is_refused():
    with pytest.raises(ValueError, match="rewards has 2 figures for 3 tokens"):
        made(1, rewards=[1.0, 2.0])


def bytes_only() -> Tokenizer:
    """A byte-level BPE without merges: every byte is a token, so most characters take several."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.mark.parametrize("text", ["", "plain words", "naïve", "日本語 😀!", "👩‍👩‍👧 \ufffd x", "é" * 40])
def test_token_texts_add_up_where_characters_span_tokens(text):
    tokenizer = bytes_only()
    ids = tokenizer.encode(text).ids
    texts = token_texts(tokenizer.decode, ids)
    assert len(texts) == len(ids) == len(text.encode()) and "".join(texts) == text
    assert all(len(each) <= 2 for each in texts)


def test_a_character_belongs_to_the_token_that_completes_it():
    tokenizer = bytes_only()
    assert token_texts(tokenizer.decode, tokenizer.encode("a😀b").ids) == ["a", "", "", "", "😀", "b"]


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 6])
def test_bytes_that_never_become_a_character_are_shown_as_such(cut):
    tokenizer = bytes_only()
    for ids in (tokenizer.encode("x😀日本").ids[:-cut], tokenizer.encode("😀日本x").ids[cut:]):
        texts = token_texts(tokenizer.decode, ids)
        assert len(texts) == len(ids) and "".join(texts) == tokenizer.decode(ids)


def test_spaces_that_a_decoder_drops_at_the_beginning_are_kept_between_tokens():
    vocabulary = ["▁the", "▁sea", "s", "▁"]
    decoder = decoders.Metaspace()

    def decode(ids):
        return decoder.decode([vocabulary[each] for each in ids])

    assert token_texts(decode, [0, 1, 2, 1]) == ["the", " sea", "s", " sea"]
