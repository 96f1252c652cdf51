"""metrics.jsonl: whole lines only, whatever cut the last one off."""

import errno
import os

import pytest

from sartor.base.errors import DataError, SartorError
from sartor.base.metrics import MetricsLog, read_metrics


def test_lines_come_back_in_order(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.append({"step": 1, "loss": 0.1 + 0.2, "note": "größer"})
        log.append({"step": 2, "loss": float("nan"), "norms": [float("inf"), float("-inf")]})
    with MetricsLog(path) as log:
        log.append({"step": 3})
    assert read_metrics(path) == [
        {"step": 1, "loss": 0.1 + 0.2, "note": "größer"},
        {"step": 2, "loss": "NaN", "norms": ["Infinity", "-Infinity"]},
        {"step": 3},
    ]


def test_a_torn_last_line_is_cut_wherever_it_was_torn(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.append({"step": 1})
        whole = log.position
        log.append({"step": 2, "loss": 1.5})
    content = path.read_bytes()
    for end in range(whole, len(content)):
        path.write_bytes(content[:end] + b"\0" * 3)
        assert read_metrics(path) == [{"step": 1}]
        with MetricsLog(path) as log:
            assert log.position == whole
            log.append({"step": 2, "loss": 1.5})
        assert path.read_bytes() == content


def test_rewinding_makes_a_resumed_log_equal_to_an_uninterrupted_one(tmp_path):
    paths = [tmp_path / "straight.jsonl", tmp_path / "resumed.jsonl"]
    with MetricsLog(paths[0]) as log:
        for step in range(6):
            log.append({"step": step})
    with MetricsLog(paths[1]) as log:
        for step in range(3):
            log.append({"step": step})
        saved = log.position
        log.append({"step": 3})
    with MetricsLog(paths[1]) as log:
        log.rewind(saved)
        for step in range(3, 6):
            log.append({"step": step})
        with pytest.raises(DataError, match="fewer than the 10000"):
            log.rewind(10_000)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    write = os.write
    with MetricsLog(path) as log:
        log.append({"step": 1})
        calls = []

        def half_then_full(descriptor, data):
            calls.append(data)
            if len(calls) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(descriptor, data[: len(data) // 2])

        monkeypatch.setattr(os, "write", half_then_full)
        with pytest.raises(SartorError, match="disk is full"):
            log.append({"step": 2})
        monkeypatch.undo()
        assert path.read_text() == '{"step": 1}\n'
        log.append({"step": 2})
    assert read_metrics(path) == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize("call", ["fsync", "ftruncate"])
def test_a_failing_disk_is_explained(tmp_path, monkeypatch, call):
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        log.append({"step": 1})

        def fail(*arguments):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, call, fail)
        with pytest.raises(SartorError, match="cannot write: Input/output error"):
            log.sync() if call == "fsync" else log.rewind(0)
        monkeypatch.undo()


def test_no_file_is_no_lines(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_listeners_hear_a_record_once_it_is_written(tmp_path):
    path, heard = tmp_path / "metrics.jsonl", []
    with MetricsLog(path, [lambda record: heard.append((record, read_metrics(path)[-1]["step"]))]) as log:
        log.append({"step": 1, "loss": 0.5})
        log.rewind(0)
        log.append({"step": 2})
    assert heard == [({"step": 1, "loss": 0.5}, 1), ({"step": 2}, 2)]


def test_half_a_surrogate_pair_is_written_and_read_back(tmp_path):
    path, note = tmp_path / "metrics.jsonl", "größer \ud83d … \udc80"
    for step in (1, 2):
        with MetricsLog(path) as log:
            log.append({"step": step, "note": note})
    assert read_metrics(path) == [{"step": 1, "note": note}, {"step": 2, "note": note}]
    assert "größer" in path.read_text(encoding="utf-8")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"step": 1}\n{"st\n')
    with pytest.raises(DataError, match="cannot be read"):
        read_metrics(tmp_path / "m.jsonl")
