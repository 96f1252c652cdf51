"""A run folder after crashes, full disks, damage and two writers at once."""

import errno
import json
import os
import random
import shutil
import signal
import time

import pytest
import torch

from sartor.base import manifest
from sartor.base.errors import DataError, SartorError, UsageError
from sartor.base.run_folder import RunFolder, require_free
from sartor.base.tensor_file import TensorFile, read_tensors

OPERATIONS = ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir")
KILLED = 9


def files_for(step):
    return {
        "state.json": json.dumps({"step": step}),
        "weights.safetensors": TensorFile({"w": torch.full((4,), float(step))}),
    }


def in_child(work, dies_before=None):
    """Run `work` in a forked process that vanishes before file operation number `dies_before`; its exit
    code."""
    child = os.fork()
    if child == 0:
        count = 0

        def counting(original):
            def operation(*args, **options):
                nonlocal count
                count += 1
                if count == dies_before:
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
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def saved_until(path, last, keep=2):
    with RunFolder.create(path) as run:
        for step in range(1, last + 1):
            run.save_checkpoint(step, files_for(step), keep=keep)


def check_whole(checkpoint):
    assert json.loads((checkpoint.folder / "state.json").read_text()) == {"step": checkpoint.step}
    assert read_tensors(checkpoint.folder / "weights.safetensors")["w"].tolist() == [checkpoint.step] * 4


def test_checkpoints_are_found_rotated_and_pointed_at(tmp_path):
    with RunFolder.create(tmp_path / "run") as run:
        assert run.newest_checkpoint() is None
        for step in (5, 10, 15, 20):
            run.save_checkpoint(step, files_for(step), keep=2, protect=[5])
        assert run.steps() == [5, 15, 20]
        assert (run.path / "latest").read_text() == "step-20\n"
    checkpoint = RunFolder(tmp_path / "run").newest_checkpoint()
    assert checkpoint.step == 20
    check_whole(checkpoint)


def test_a_kill_at_any_operation_of_a_save_with_rotation_leaves_a_whole_checkpoint(tmp_path):
    """R3: the previous checkpoint or the new one, never none, and no leftovers once the run is opened
    again."""
    saved_until(tmp_path / "saved", 2)
    newest = []
    for number in range(1, 200):
        path = tmp_path / "run"
        shutil.copytree(tmp_path / "saved", path)

        def save(path=path):
            with RunFolder.open(path) as run:
                run.save_checkpoint(3, files_for(3), keep=2)

        code = in_child(save, dies_before=number)
        with RunFolder.open(path) as run:
            checkpoint = run.newest_checkpoint()
            check_whole(checkpoint)
            newest.append(checkpoint.step)
            names = {item.name for item in (path / "checkpoints").iterdir()}
            assert names in ({f"step-{n}" for n in steps} for steps in ((1, 2), (1, 2, 3), (2, 3)))
            run.save_checkpoint(3, files_for(3), keep=2)
            assert run.steps() == [2, 3]
        shutil.rmtree(path)
        if code == 0:
            break
        assert code == KILLED
    assert newest == sorted(newest) and newest.count(2) > 5 and newest.count(3) > 5


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_save_that_fails_anywhere_keeps_the_earlier_checkpoint_and_works_later(
    tmp_path, monkeypatch, number
):
    """R5, R6: every fsync, rename and replace of a save fails once."""
    failures = 0
    for operation in ("fsync", "rename", "replace"):
        for fails_at in range(1, 30):
            path = tmp_path / f"{operation}-{fails_at}"
            saved_until(path, 2)
            original, calls = getattr(os, operation), []

            def failing(*args, original=original, calls=calls, fails_at=fails_at):
                calls.append(args)
                if len(calls) == fails_at:
                    raise OSError(number, os.strerror(number))
                return original(*args)

            with RunFolder.open(path) as run:
                monkeypatch.setattr(os, operation, failing)
                try:
                    run.save_checkpoint(3, files_for(3))
                    failed = False
                except SartorError as error:
                    failed = True
                    assert ("needed" in error.what and "free" in error.what) == (number == errno.ENOSPC) or (
                        "cannot be removed" in error.what
                    )
                monkeypatch.undo()
                check_whole(run.newest_checkpoint())
                run.save_checkpoint(4, files_for(4))
                assert run.newest_checkpoint().step == 4
            failures += failed
            if not failed:
                break
    assert failures >= 8


def test_damage_is_found_and_the_newest_whole_checkpoint_is_used(tmp_path, capsys):
    """R7, reduced: one random damage to the newest checkpoint."""
    generator = random.Random(0)
    saved_until(tmp_path / "saved", 3, keep=3)
    for _ in range(50):
        path = tmp_path / "run"
        shutil.copytree(tmp_path / "saved", path)
        victim = path / "checkpoints" / "step-3" / generator.choice([*files_for(3), manifest.NAME])
        content = bytearray(victim.read_bytes())
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        victim.write_bytes(content[: generator.choice([len(content), generator.randrange(len(content))])])
        checkpoint = RunFolder(path).newest_checkpoint()
        assert checkpoint.step == 2
        warning = capsys.readouterr().err
        assert "step-3 is damaged and passed over" in warning.replace("\n", " ")
        shutil.rmtree(path)


def test_a_damaged_step_can_be_saved_again(tmp_path):
    saved_until(tmp_path / "run", 2)
    (tmp_path / "run" / "checkpoints" / "step-2" / "state.json").unlink()
    with RunFolder.open(tmp_path / "run") as run:
        assert run.newest_checkpoint().step == 1
        run.save_checkpoint(2, files_for(2))
        check_whole(run.newest_checkpoint())


def test_only_one_process_writes(tmp_path):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        RunFolder.create(tmp_path / "run")
        os.write(writing, b"x")
        time.sleep(60)
    os.read(reading, 1)
    with pytest.raises(SartorError, match=f"process {child} on .* is using this run folder"):
        RunFolder.open(tmp_path / "run")
    assert RunFolder(tmp_path / "run").newest_checkpoint() is None  # reading needs no lock
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    RunFolder.open(tmp_path / "run").close()


def test_a_run_that_died_in_its_very_first_write_can_be_made_again(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").write_text("")
    (tmp_path / "run" / ".config.yaml.new").write_text("ba")
    require_free(tmp_path / "run")
    RunFolder.create(tmp_path / "run").close()
    assert [item.name for item in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_folder_in_which_another_process_makes_a_run_is_not_called_full(tmp_path):
    with RunFolder.create(tmp_path / "run") as run:
        run.write_text("config.yaml", "a: 1\n")
        with pytest.raises(SartorError, match=f"process {os.getpid()} on .* is using this run folder"):
            require_free(tmp_path / "run")
    with pytest.raises(UsageError, match="already holds something"):
        require_free(tmp_path / "run")


def test_the_name_of_a_new_run_folder_is_synced(tmp_path, monkeypatch):
    synced = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), sync(file)))
    RunFolder.create(tmp_path / "run").close()
    assert str(tmp_path.resolve()) in synced


def test_create_refuses_a_folder_that_holds_something(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="already holds something"):
        RunFolder.create(tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        RunFolder.create(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match="no such run folder"):
        RunFolder.open(tmp_path / "none")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    RunFolder.create(tmp_path / "run").close()
    RunFolder.create(tmp_path / "run").close()  # nothing was left in it, so it may be created again


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    RunFolder.create(tmp_path / "run").close()

    def refuse(*args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SartorError, match="cannot write: Read-only file system"):
        RunFolder.open(tmp_path / "run")


def test_json_text_and_folders(tmp_path):
    with RunFolder.create(tmp_path / "run") as run:
        run.write_json("environment.json", {"torch": "2.13"})
        run.write_text("README.md", "# card\n")
        assert run.read_json("environment.json") == {"torch": "2.13"}
        with pytest.raises(DataError, match="no certificate.json"):
            run.read_json("certificate.json")
        run.write_text("broken.json", "{")
        with pytest.raises(DataError, match=r"broken\.json"):
            run.read_json("broken.json")
        for text in ("first", "second"):
            folder = run.write_folder("adapter", {"adapter_config.json": text})
        assert [(item.name, item.read_text()) for item in folder.iterdir()] == [
            ("adapter_config.json", "second")
        ]
        with run.metrics() as log:
            log.append({"step": 1})
    assert sorted(item.name for item in (tmp_path / "run").iterdir()) == [
        ".lock", "README.md", "adapter", "broken.json", "environment.json", "metrics.jsonl",
    ]  # fmt: skip
