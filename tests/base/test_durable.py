"""Writes that fail or are killed at any point leave the old content or the new."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sartor.base import durable
from sartor.base.durable import (
    clean_leftovers,
    format_bytes,
    replace_file,
    replace_folder,
    replace_json,
    require_space,
)
from sartor.base.errors import SartorError

OPERATIONS = ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir", "open", "write")
KILLED = 9


def killed_at(number: int, work: Callable[[], None]) -> bool:
    """Run `work` in a child that dies, as by SIGKILL, before file operation `number`; whether it died."""
    child = os.fork()
    if child == 0:
        count = 0

        def counting(original: Callable) -> Callable:
            def operation(*args: object, **options: object) -> object:
                nonlocal count
                count += 1
                if count == number:
                    os._exit(KILLED)
                return original(*args, **options)

            return operation

        for name in OPERATIONS:
            setattr(os, name, counting(getattr(os, name)))
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, KILLED)
    return code == KILLED


def content_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def test_a_file_killed_at_any_operation_is_old_or_new(tmp_path):
    path, seen = tmp_path / "state.json", []
    for number in range(1, 100):
        path.write_text("old")
        died = killed_at(number, lambda: replace_file(path, "new"))
        seen.append(path.read_text())
        clean_leftovers(tmp_path)
        assert [item.name for item in tmp_path.iterdir()] == ["state.json"]
        if not died:
            break
    assert seen == ["old"] * seen.count("old") + ["new"] * seen.count("new")
    assert seen.count("old") >= 3 and seen[-1] == "new"


def test_a_folder_killed_at_any_operation_is_old_or_new_after_cleaning(tmp_path):
    final, seen = tmp_path / "model", []
    old, new = {"a": "1", "sub/b": "2"}, {"a": "3", "sub/c": "4"}
    for number in range(1, 200):
        shutil.rmtree(final, ignore_errors=True)
        replace_folder(final, old)
        died = killed_at(number, lambda: replace_folder(final, new))
        clean_leftovers(tmp_path)
        assert [item.name for item in tmp_path.iterdir()] == ["model"]
        seen.append(content_of(final))
        if not died:
            break
    assert all(content in (old, new) for content in seen)
    assert seen.count(old) > 5 and seen[-1] == new


def test_cleaning_that_is_killed_can_be_done_again(tmp_path):
    for number in range(1, 50):
        for name in (".model.new", ".model.old"):
            (tmp_path / name / "sub").mkdir(parents=True)
            (tmp_path / name / "sub" / "file").write_text(name)
        died = killed_at(number, lambda: clean_leftovers(tmp_path))
        clean_leftovers(tmp_path)
        assert content_of(tmp_path) == {"model/sub/file": ".model.old"}
        shutil.rmtree(tmp_path / "model")
        if not died:
            return
    pytest.fail("never finished")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("operation", ["fsync", "rename"])
def test_a_write_that_fails_leaves_the_old_folder_and_nothing_else(tmp_path, monkeypatch, operation, number):
    final = tmp_path / "model"
    replace_folder(final, {"weights": "old"})
    original, calls = getattr(os, operation), []

    def failing(*args: object) -> object:
        calls.append(args)
        if operation == "rename" and len(calls) == 3:  # putting the old folder back works
            return original(*args)
        if len(calls) >= (2 if operation == "rename" else 1):
            raise OSError(number, os.strerror(number))
        return original(*args)

    monkeypatch.setattr(os, operation, failing)
    with pytest.raises(SartorError) as caught:
        replace_folder(final, {"weights": "new"})
    monkeypatch.undo()
    assert content_of(tmp_path) == {"model/weights": "old"}
    assert ("disk is full" in caught.value.what) == (number == errno.ENOSPC)
    assert str(final) in str(caught.value)


def test_too_little_space_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(SartorError, match="the disk is full: 25 B needed, 10 B free"):
        replace_folder(tmp_path / "model", {"weights": "x" * 25})
    assert list(tmp_path.iterdir()) == []
    require_space(tmp_path, 10)


def test_json_is_strict_and_readable(tmp_path):
    replace_json(tmp_path / "a.json", {"name": "Käse", "n": 1})
    assert (tmp_path / "a.json").read_text() == '{\n  "name": "Käse",\n  "n": 1\n}\n'
    with pytest.raises(ValueError):
        replace_json(tmp_path / "a.json", {"loss": float("nan")})
    assert "Käse" in (tmp_path / "a.json").read_text()


def test_a_removed_folder_is_gone_or_whole(tmp_path):
    for number in range(1, 50):
        folder = tmp_path / "step-1"
        replace_folder(folder, {"a": "1", "b": "2"})
        died = killed_at(number, lambda folder=folder: durable.remove_folder(folder))
        assert not folder.exists() or content_of(folder) == {"a": "1", "b": "2"}
        clean_leftovers(tmp_path)
        assert [item.name for item in tmp_path.iterdir()] in ([], ["step-1"])
        if not died:
            assert not folder.exists()
            return
    pytest.fail("never finished")


def test_sizes_are_readable():
    assert [format_bytes(n) for n in (0, 999, 1000, 3_400_000, 12e9, 5e15)] == [
        "0 B", "999 B", "1.0 kB", "3.4 MB", "12.0 GB", "5000.0 TB",
    ]  # fmt: skip
