"""The page on which answers are judged: nobody else can read or judge, and what models write stays text."""

import base64
import hashlib
import html
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from sartor.base.errors import SartorError, UsageError
from sartor.data.records import Conversation
from sartor.data.turns import message
from sartor.serving.prefer_page import HERE, build_prefer_app, new_token

TOKEN = "a-token"
OWN = "http://127.0.0.1:8123"
SCRIPTS = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "[click](javascript:alert(1)) {{ 7 * 7 }} {% raw %}",
    "\u2028\u2029<!--",
)


@dataclass(frozen=True)
class FakePair:
    id: str
    prompt: Conversation
    left: str
    right: str
    is_cut: tuple[bool, bool] = (False, True)
    models: tuple[str, str] = ("secret-model-a", "secret-model-b")


class FakeCounts:
    def as_dict(self) -> dict[str, int]:
        return {"questions": 3, "remaining": 2, "preferences": 1}


@dataclass
class FakeSitting:
    """Shows its pairs one after the other and remembers what was judged."""

    pairs: list[FakePair]
    judged: list[tuple[str, str]] = field(default_factory=list)
    undone: int = 0
    error: SartorError | None = None
    counts: FakeCounts = field(default_factory=FakeCounts)

    @property
    def is_finished(self) -> bool:
        return len(self.judged) == len(self.pairs)

    @property
    def can_undo(self) -> bool:
        return bool(self.judged)

    def next_pair(self, wait_seconds: float | None = None) -> FakePair | None:
        assert wait_seconds == 0, "the page never makes the server wait"
        if self.error is not None:
            raise self.error
        return None if self.is_finished else self.pairs[len(self.judged)]

    def judge(self, pair_id: str, verdict: str) -> None:
        if self.is_finished or pair_id != self.pairs[len(self.judged)].id:
            raise UsageError("this pair is not the one on show")
        self.judged.append((pair_id, verdict))

    def undo(self) -> object:
        self.undone += 1
        return self.judged.pop() if self.judged else None


@dataclass
class Page:
    sitting: FakeSitting
    client: TestClient
    finished: list[bool]


@pytest.fixture
def page() -> Page:
    pairs = [FakePair(f"id{n}", [message("user", text)], f"left {text}", text) for n, text in enumerate(SCRIPTS)]
    sitting, finished = FakeSitting(pairs), []
    app = build_prefer_app(sitting, TOKEN, "<b>task</b>", "out.jsonl", lambda: finished.append(True))
    return Page(sitting, TestClient(app, base_url=OWN), finished)


class Tags(HTMLParser):
    """The tags and texts of a page as a browser's parser sees them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, str] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open in ("script", "style"):
            self.inside[self._open] = self.inside.get(self._open, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def test_the_page_allows_its_own_style_and_script_and_nothing_else(page: Page) -> None:
    response = page.client.get(f"/{TOKEN}/")
    assert response.status_code == 200 and response.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["content-security-policy"].split(";"))
    found = Tags(response.text)
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(found.inside[kind].encode()).digest()).decode()
        assert policy.pop(f"{kind}-src") == f"'sha256-{digest}'"
    assert policy.pop("connect-src") == "'self'"
    assert policy == dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    written = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', response.text)
    assert written and response.headers["content-security-policy"].startswith(html.unescape(written[1]))
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"


def test_the_page_loads_nothing_and_runs_nothing_but_its_script(page: Page) -> None:
    found = Tags(page.client.get(f"/{TOKEN}/").text)
    names = [tag for tag, _ in found.tags]
    assert names.count("script") == 1 and not {"img", "link", "iframe", "object", "form", "base"} & set(names)
    attributes = {name for _, attributes in found.tags for name in attributes}
    assert not {"src", "href", "srcset", "style"} & attributes
    assert not [name for name in attributes if name.startswith("on")]
    assert "<b>task</b>" not in page.client.get(f"/{TOKEN}/").text


def test_the_script_puts_in_words_as_text_only() -> None:
    script = (HERE / "prefer_page.js").read_text("utf-8")
    assert "textContent" in script
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "setAttribute",
                "createContextualFragment", "srcdoc", ".href", "location"):  # fmt: skip
        assert way not in script
    made = re.findall(r'createElement\("(\w+)"\)', script)
    assert set(made) == {"p", "pre"} and script.count("createElement") == len(made)


def test_answers_leave_as_data_that_no_browser_renders(page: Page) -> None:
    for number, text in enumerate(SCRIPTS):
        response = page.client.get(f"/{TOKEN}/state")
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        shown = response.json()["pair"]
        assert (shown["right"], shown["prompt"][0]["content"]) == (text, text)
        assert text not in page.client.get(f"/{TOKEN}/").text
        page.client.post(f"/{TOKEN}/judge", json={"pair": f"id{number}", "verdict": "tie"})
    assert page.client.get(f"/{TOKEN}/state").json()["pair"] is None


def test_nothing_tells_which_model_wrote_an_answer(page: Page) -> None:
    for path in ("", "state"):
        assert "secret-model" not in page.client.get(f"/{TOKEN}/{path}").text
    shown = page.client.get(f"/{TOKEN}/state").json()["pair"]
    assert set(shown) == {"id", "prompt", "left", "right", "left_is_cut", "right_is_cut"}
    assert (shown["left_is_cut"], shown["right_is_cut"]) == (False, True)


def test_judging_undoing_and_finishing(page: Page) -> None:
    after = page.client.post(f"/{TOKEN}/judge", json={"pair": "id0", "verdict": "left"}, headers={"Origin": OWN})
    assert after.status_code == 200 and after.json()["pair"]["id"] == "id1" and after.json()["can_undo"]
    assert after.json()["counts"] == {"questions": 3, "remaining": 2, "preferences": 1}
    assert page.sitting.judged == [("id0", "left")]
    stale = page.client.post(f"/{TOKEN}/judge", json={"pair": "id0", "verdict": "left"})
    assert stale.status_code == 409 and "not the one on show" in stale.json()["error"]["message"]
    assert page.client.post(f"/{TOKEN}/undo", json={}).json()["pair"]["id"] == "id0"
    assert page.sitting.judged == [] and page.finished == []
    assert page.client.post(f"/{TOKEN}/finish", json={}).status_code == 200 and page.finished == [True]


@pytest.mark.parametrize("action", ["judge", "undo", "finish"])
def test_only_a_post_of_the_page_itself_does_anything(page: Page, action: str) -> None:
    path, body = f"/{TOKEN}/{action}", {"pair": "id0", "verdict": "left"}
    refused = {
        405: [page.client.get(path), page.client.head(path), page.client.put(path, json=body)],
        403: [
            page.client.post(path, json=body, headers=headers)
            for headers in (
                {"Origin": "http://evil.example"},
                {"Origin": "null"},
                {"Origin": "http://127.0.0.1:9999"},
                {"Origin": "https://127.0.0.1:8123"},
                {"Sec-Fetch-Site": "cross-site"},
                {"Sec-Fetch-Site": "same-site"},
            )
        ],
        404: [page.client.post(f"/{token}/{action}", json=body) for token in ("wrong", TOKEN + "x", TOKEN.upper())],
        415: [page.client.post(path, data=body), page.client.post(path, content=b"{}")],
        421: [page.client.post(path, json=body, headers={"Host": "evil.example"})],
        413: [page.client.post(path, json={**body, "more": "x" * 5000})],
        400: [
            page.client.post(path, content=content, headers={"Content-Type": "application/json"})
            for content in (b"", b"[]", b"nonsense", b"\xff", b"[" * 4000)
        ],
    }
    assert {status: {answer.status_code for answer in answers} for status, answers in refused.items()} == {
        status: {status} for status in refused
    }
    assert page.sitting.judged == [] and page.sitting.undone == 0 and page.finished == []


def test_reading_needs_the_token_and_a_local_name(page: Page) -> None:
    for path in ("/", "/wrong/", "/wrong/state", f"/{TOKEN}", "/state"):
        answer = page.client.get(path)
        assert answer.status_code == 404 and "id0" not in answer.text
    for name in ("evil.example", "127.0.0.1.evil.example", "0.0.0.0", ""):
        answer = page.client.get(f"/{TOKEN}/state", headers={"Host": name})
        assert answer.status_code == 421 and answer.headers["x-frame-options"] == "DENY"
    assert page.client.get(f"/{TOKEN}/state", headers={"Host": "localhost:8123"}).status_code == 200


def test_what_goes_wrong_is_told_on_the_page(page: Page) -> None:
    page.sitting.error = SartorError("the disk is full", hint="make space")
    answer = page.client.get(f"/{TOKEN}/state")
    assert answer.status_code == 500 and answer.json()["error"]["message"] == "the disk is full; make space"


def test_every_server_has_a_token_of_its_own() -> None:
    assert len({new_token() for _ in range(50)}) == 50 and len(new_token()) >= 32
