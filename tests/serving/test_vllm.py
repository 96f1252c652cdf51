"""What is handed over to vLLM, with a program of that name that writes down how it was called."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sartor.base.errors import UsageError
from sartor.models.hub import ModelLocation
from sartor.retrieval.path import Knowledge, PathConfig
from sartor.serving.paths import Named
from sartor.serving.vllm import Handover, plan_handover, require_vllm
from tests import tiny_folders

FAKE = """#!{python}
import json, os, sys
json.dump([sys.argv, os.environ.get("VLLM_API_KEY")], open({out!r}, "w"))
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_folders.language_model(tmp_path / "base")


def adapter(folder: Path, rank: int) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank, "rank_pattern": {"q_proj": rank + 4}}))
    return folder


def named(model_id: str, base: Path, adapter: Path | None = None, **settings: object) -> Named:
    config = PathConfig.model_validate({"name": model_id, "description": "", "model": str(base)} | settings)
    return Named(model_id, config, Path(), ModelLocation(model_id, base, adapter))


def merged(location: ModelLocation) -> Path:
    return location.folder


def as_peft(location: ModelLocation) -> Path:
    assert location.adapter is not None
    return location.adapter


def test_one_model_is_merged_and_several_are_adapters_on_one_base(base: Path, tmp_path: Path) -> None:
    small, large = adapter(tmp_path / "small", 4), adapter(tmp_path / "large", 16)
    one = plan_handover([named("small", base, small)], merged, as_peft)
    assert one == Handover(base, "small", {}) and "--enable-lora" not in one.command("127.0.0.1", 8000)
    models = [named("small", base, small), named("base", base), named("large", base, large)]
    both = plan_handover(models, merged, as_peft)
    assert both == Handover(base, "base", {"small": small, "large": large})
    command = both.command("127.0.0.1", 8000)
    assert command[:5] == ["vllm", "serve", str(base), "--served-model-name", "base"]
    # Neither the sampling nor the penalties that a model's generation_config.json asks for.
    assert command[command.index("--generation-config") + 1] == "vllm"
    assert json.loads(command[command.index("--override-generation-config") + 1]) == {"temperature": 0.0}
    assert command[command.index("--max-lora-rank") + 1] == "32"  # 16 + 4 by its pattern, as vLLM makes room
    assert command[command.index("--lora-modules") + 1 :] == [f"small={small}", f"large={large}"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"instruction": "Be brief."}, "a prompt of its own"),
        ({"knowledge": Knowledge(file="k.sqlite", passages=1, dense_weight=0.5)}, "documents"),
    ],
)
def test_what_only_our_own_server_does_is_refused(base: Path, settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plan_handover([named("x", base, **settings)], merged, as_peft)


def test_several_bases_are_refused(base: Path, tmp_path: Path) -> None:
    other = tiny_folders.language_model(tmp_path / "other", seed=1)
    with pytest.raises(UsageError, match="several"):
        plan_handover([named("one", base), named("two", other)], merged, as_peft)


def serve(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sartor", "serve", *arguments, "--engine", "vllm"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
    )


def test_the_command_becomes_vllm(base: Path, tmp_path: Path) -> None:
    seen, programs = tmp_path / "seen.json", tmp_path / "bin"
    programs.mkdir()
    (programs / "vllm").write_text(FAKE.format(python=sys.executable, out=str(seen)))
    (programs / "vllm").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "SARTOR_CACHE": str(tmp_path / "cache"),
        "MY_KEY": "correct-horse",
    }
    done = serve([str(base), "--port", "8123", "--key-env", "MY_KEY"], environment)
    assert done.returncode == 0, done.stderr
    command, key = json.loads(seen.read_text())
    assert key == "correct-horse" and "correct-horse" not in command, "lists of processes show commands"
    folder = Path(command[2])
    assert (folder / "model.safetensors").is_file() and folder.is_relative_to(tmp_path / "cache")
    found = dict(zip(command[3::2], command[4::2], strict=True))
    assert (found["--served-model-name"], found["--port"]) == ("base", "8123")
    assert found["--max-model-len"] == str(json.loads((base / "config.json").read_text())["max_position_embeddings"])
    before = folder.stat().st_mtime_ns
    assert serve([str(base)], environment).returncode == 0
    assert folder.stat().st_mtime_ns == before, "the model has not changed, so it is exported once"


def test_without_vllm_that_is_said_before_anything_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="not installed"):
        require_vllm()
