"""Runs and choices as data for the pages; curves are read on from where the page stopped reading."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from sartor.base.errors import DataError, UsageError
from sartor.serving.errors import ApiError, Json

METRICS, REPORT = "metrics.jsonl", "report.html"
READ_BYTES = 4 * 1024 * 1024  # of metrics at once: the page asks again while there is more
POLICY_OF_REPORTS = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "sandbox allow-popups"
)
"""Reports carry their style inside and allow just that one by themselves; no script runs in them in any case."""


class RunSource(Protocol):
    """Where runs are read from; the command line hands one in."""

    @property
    def folder(self) -> Path: ...

    def paths(self) -> Sequence[Path]:
        """The run folders, all below `folder`."""
        ...

    def summary(self, path: Path) -> Mapping[str, Any]: ...

    def details(self, path: Path) -> Mapping[str, Any]: ...

    def choice(self, path: Path) -> Mapping[str, Any]: ...


class RunRoutes:
    """Runs are named by their place below the folder; a name that is not in the list is never looked up."""

    def __init__(self, source: RunSource):
        self._source = source

    async def list_all(self, request: Request) -> Response:
        return Json(await run_in_threadpool(self._list))

    async def show(self, request: Request) -> Response:
        return Json(await run_in_threadpool(self._show, request.query_params.get("run", "")))

    async def metrics(self, request: Request) -> Response:
        return Json(await run_in_threadpool(self._metrics, request.query_params))

    async def choice(self, request: Request) -> Response:
        path = await run_in_threadpool(self._path, request.query_params.get("run", ""))
        return Json(_finite(await run_in_threadpool(self._source.choice, path)))

    async def report(self, request: Request) -> Response:
        path = await run_in_threadpool(self._path, request.query_params.get("run", ""))
        try:
            page = await run_in_threadpool((path / REPORT).read_bytes)
        except OSError:
            raise ApiError(404, "this run has no report yet", code="not_found") from None
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": POLICY_OF_REPORTS})

    def _named(self) -> dict[str, Path]:
        folder = self._source.folder
        return {path.relative_to(folder).as_posix(): path for path in self._source.paths()}

    def _path(self, name: str) -> Path:
        path = self._named().get(name)
        if path is None:
            raise ApiError(404, f"there is no run called {name!r} in {self._source.folder}", code="not_found")
        return path

    def _list(self) -> dict[str, Any]:
        """A damaged run is listed with what is wrong with it, so that it does not hide the others."""
        runs: list[dict[str, Any]] = []
        for name, path in self._named().items():
            try:
                facts: Mapping[str, Any] = self._source.summary(path)
            except (DataError, UsageError) as error:
                facts = {"state": "damaged", "problem": error.what}
            has = {"has_choice": (path / "choice.json").is_file(), "has_curves": (path / METRICS).is_file()}
            runs.append({"name": name, **facts, **has})
        return _finite({"folder": str(self._source.folder), "runs": runs})

    def _show(self, name: str) -> dict[str, Any]:
        path = self._path(name)
        has = {"has_choice": (path / "choice.json").is_file(), "has_report": (path / REPORT).is_file()}
        return _finite({"name": name, **self._source.details(path), **has})

    def _metrics(self, query: Mapping[str, str]) -> dict[str, Any]:
        try:
            start = int(query.get("from", "0"))
        except ValueError:
            raise ApiError(400, "from should be a whole number", param="from") from None
        return metrics_from(self._path(query.get("run", "")) / METRICS, max(start, 0))


def metrics_from(file: Path, start: int) -> dict[str, Any]:
    """The records after byte `start`, which begins a line, and where to read on.

    `reset`: the file became shorter, as that of a run does that goes on from a checkpoint, so these are all from its
    beginning. A line that is still being written waits for the next time. DataError for what is no record.
    """
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            reset = size < start
            start = 0 if reset else start
            stream.seek(start)
            content = stream.read(READ_BYTES)
    except FileNotFoundError:
        return {"records": [], "next": 0, "reset": start > 0, "more": False}
    end = content.rfind(b"\n") + 1
    try:
        records = [json.loads(line) for line in content[:end].split(b"\n") if line]
    except ValueError as error:
        raise DataError(f"cannot be read: {error}", where=str(file), hint="restore it from a copy") from None
    more = end > 0 and start + end < size and len(content) == READ_BYTES
    return {"records": _finite(records), "next": start + end, "reset": reset, "more": more}


def _finite(value: Any) -> Any:
    """JSON has no NaN and no paths: they become text."""
    if isinstance(value, float) and value - value != 0:
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
