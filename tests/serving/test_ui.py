# ruff: noqa: E501 -- the texts and scripts in it are easier to read unbroken
"""The routes behind the pages: who may ask, what is refused, and that every page carries its policy."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from sartor.serving.ui import PAGES, POLICY
from sartor.serving.ui_runs import metrics_from
from tests.serving import ui_site

KEY = "a-key;with,odd=characters"
READING = ("/chat", "/runs", "/choice", "/documents", "/report?run=choice", "/ui/models", "/ui/runs", "/ui/run?run=choice",
           "/ui/metrics?run=choice", "/ui/choice?run=choice", "/ui/documents", "/ui/document?id=rules/fog.md",
           "/ui/search?q=fog", "/v1/models", "/openapi.json")  # fmt: skip
CHANGING = (
    ("POST", "/ui/models/load"),
    ("POST", "/ui/documents"),
    ("DELETE", "/ui/document"),
    ("POST", "/v1/chat/completions"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ui")


@pytest.fixture(scope="module")
def guarded(folder: Path) -> Iterator[TestClient]:
    with ui_site.site(folder / "guarded", KEY, load_at_once=False, tiny=False) as site:
        yield TestClient(site.app, base_url="http://127.0.0.1:1", follow_redirects=False)


@pytest.fixture(scope="module")
def free(folder: Path) -> Iterator[TestClient]:
    with ui_site.site(folder / "free", load_at_once=False, tiny=False) as site:
        yield TestClient(site.app, base_url="http://127.0.0.1:1", follow_redirects=False)


@pytest.mark.parametrize("path", READING)
def test_reading_needs_the_key(guarded: TestClient, path: str) -> None:
    wrong = [
        {},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Bearer {KEY.upper()}"},
        {"Cookie": "sartor_key=eA=="},
    ]
    assert [guarded.get(path, headers=headers).status_code for headers in wrong] == [401] * 4
    assert guarded.get(path, params={"key": KEY}).status_code == 401
    twice = [("Authorization", f"Bearer {KEY}")] * 2
    assert guarded.get(path, headers=twice).status_code == 401
    assert guarded.get(path, headers={"Authorization": f"Bearer {KEY}"}).status_code not in (401, 403, 421)


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_other_sites_change_nothing(free: TestClient, guarded: TestClient, method: str, path: str) -> None:
    foreign = [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:2"},
        {"Sec-Fetch-Site": "cross-site"},
    ]
    assert [free.request(method, path, headers=headers).status_code for headers in foreign] == [403] * 4
    assert free.request(method, path, headers={"Host": "evil.example"}).status_code == 421
    assert guarded.request(method, path).status_code == 401


def test_a_login_leaves_a_cookie_that_scripts_cannot_read(guarded: TestClient) -> None:
    browser = {"Accept": "text/html"}
    assert guarded.get("/runs", headers=browser).headers["location"] == "/login"
    assert guarded.get("/login").status_code == 200 and guarded.get("/health").status_code == 200
    assert guarded.post("/login", json={"key": "wrong"}).status_code == 401
    answer = guarded.post("/login", json={"key": KEY})
    cookie = answer.headers["set-cookie"]
    assert (
        answer.status_code == 200 and "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and KEY not in cookie
    )
    stored = {"Cookie": cookie.partition(";")[0]}
    assert guarded.get("/ui/runs", headers=stored).status_code == 200
    others = {"Cookie": 'prefs={"a":1}; flag; ' + stored["Cookie"]}  # left by another program on this host
    assert guarded.get("/ui/runs", headers=others).status_code == 200
    assert guarded.get("/v1/models", headers=stored).status_code == 503  # let in; no model is open yet
    guarded.cookies.clear()


def test_every_page_allows_only_our_own_files(free: TestClient) -> None:
    for path in ("/chat", "/runs", "/runs/show", "/runs/compare", "/choice", "/documents", "/documents/show", "/login"):
        answer = free.get(path)
        assert answer.headers["content-security-policy"] == POLICY and "unsafe" not in POLICY
        assert (
            answer.headers["x-content-type-options"] == "nosniff" and answer.headers["referrer-policy"] == "no-referrer"
        )
        assert not re.search(r"<style|\sstyle=|\son\w+=|https?://", answer.text) and "<script>" not in answer.text


def test_scripts_make_elements_in_one_way_only() -> None:
    for file in PAGES.glob("*.js"):
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc="):
            assert way not in file.read_text(), f"{file.name}: {way}"


def test_names_lead_nowhere_else(free: TestClient) -> None:
    for run in ("../guarded", "/etc", "choice/../../free", ""):
        assert free.get("/ui/run", params={"run": run}).status_code == 404
        assert free.get("/report", params={"run": run}).status_code == 404
    assert free.get("/static/..%2fui.py").status_code == 404 and free.get("/static/frame.html.jinja").status_code == 404
    assert free.get("/ui/document", params={"id": "nothing"}).status_code == 404
    for file in ("9", "-1", "x", "0x0"):
        assert free.get("/ui/documents", params={"file": file}).status_code == 404
    for name in ("", "..", ".hidden", "a%00b", "x" * 300, "%ff"):
        headers = {"X-Sartor-File": name, "Content-Type": "application/octet-stream"}
        assert free.post("/ui/documents", content=b"text", headers=headers).status_code == 400
    assert free.post("/ui/documents", content=b"text", headers={"X-Sartor-File": "a.md"}).status_code == 415


@pytest.mark.parametrize(
    "query", ({}, {"q": " "}, {"q": "x", "k": "0"}, {"q": "x", "weight": "nan"}, {"q": "x", "where": "[1]"})
)
def test_wrong_searches_are_told(free: TestClient, query: dict[str, str]) -> None:
    assert free.get("/ui/search", params=query).status_code == 400


def test_metrics_are_read_on_by_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    assert metrics_from(file, 0) == {"records": [], "next": 0, "reset": False, "more": False}
    file.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    first = metrics_from(file, 0)
    assert [record["step"] for record in first["records"]] == [1, 2] and first["next"] == 24
    with file.open("a") as log:
        log.write('p": 3}\n')
    assert metrics_from(file, 24)["records"] == [{"step": 3}]
    file.write_text(json.dumps({"step": 1}) + "\n")  # the run went on from a checkpoint
    again = metrics_from(file, 24)
    assert again["reset"] and again["records"] == [{"step": 1}]
