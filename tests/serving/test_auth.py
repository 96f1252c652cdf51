"""Every route, with every kind of key and host: only `/health` is open."""

import http.client
from typing import Any

import httpx
import pytest

from sartor.base.errors import UsageError
from sartor.serving.auth import check_binding, is_loopback

KEY = "correct-horse-0123456789"
CREDENTIALS: dict[str, tuple[dict[str, str], str, int]] = {
    "none": ({}, "", 401),
    "right": ({"Authorization": f"Bearer {KEY}"}, "", 200),
    "right, scheme in other case": ({"authorization": f"bearer {KEY}"}, "", 200),
    "wrong": ({"Authorization": "Bearer wrong"}, "", 401),
    "beginning": ({"Authorization": f"Bearer {KEY[:-1]}"}, "", 401),
    "longer": ({"Authorization": f"Bearer {KEY}0"}, "", 401),
    "other case": ({"Authorization": f"Bearer {KEY.upper()}"}, "", 401),
    "empty": ({"Authorization": "Bearer"}, "", 401),
    "other scheme": ({"Authorization": f"Basic {KEY}"}, "", 401),
    "without scheme": ({"Authorization": KEY}, "", 401),
    "in the query": ({}, f"?key={KEY}&api_key={KEY}&authorization=Bearer%20{KEY}", 401),
    "in another header": ({"X-Api-Key": KEY, "Cookie": f"key={KEY}"}, "", 401),
}


def test_all_routes(start: Any) -> None:
    live = start(key=KEY)
    paths = {route.path.replace("{model_id:path}", "echo"): route.methods for route in live.app.routes}
    assert "/health" in paths and len(paths) >= 4
    for path in ("/v1/nothing", "/health/", "//health", "/HEALTH", "/"):
        paths[path] = {"GET"}
    asked = [(path, method) for path, known in paths.items() for method in known | {"POST", "OPTIONS"}]
    with httpx.Client() as client:
        for headers, query, expected in CREDENTIALS.values():
            for path, method in asked:
                response = client.request(method, f"{live.url}{path}{query}", headers=headers)
                refused = expected == 401 and path != "/health"
                assert (response.status_code == 401) is refused, (path, method, headers, query)
                assert ("www-authenticate" in response.headers) is refused
                assert KEY not in response.text


def routes(live: Any) -> list[tuple[str, str]]:
    """(path, method) of every route that the application has."""
    found = [
        (route.path.replace("{model_id:path}", "echo"), method) for route in live.app.routes for method in route.methods
    ]
    assert len(found) >= 10
    return found


def test_a_key_given_twice_is_none(start: Any) -> None:
    live = start(key=KEY)
    headers = [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")]
    for path, method in routes(live):
        status = httpx.request(method, f"{live.url}{path}", headers=headers).status_code
        assert status == (200 if path == "/health" else 401), path


def test_no_route_answers_to_a_foreign_host_or_opens_itself_to_other_sites(live: Any) -> None:
    sites = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for path, method in routes(live):
        assert httpx.request(method, f"{live.url}{path}", headers={"Host": "evil.example"}).status_code == 421, path
        for asked in (method, "OPTIONS"):
            response = httpx.request(asked, f"{live.url}{path}", headers=sites)
            assert not [name for name in response.headers if name.startswith("access-control")], path
        if method == "POST":  # what a page of another site can send unasked
            sent = httpx.post(f"{live.url}{path}", content=b"{}", headers={"Content-Type": "text/plain"})
            assert sent.status_code == 415, path


def test_the_work_is_not_begun_without_a_key(start: Any) -> None:
    live = start(key=KEY)
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    assert httpx.post(f"{live.url}/v1/chat/completions", json=body).status_code == 401
    assert live.engine.samplings == []


def test_foreign_names_for_this_machine_are_refused(live: Any) -> None:
    own = ["localhost", "localhost:1234", "LOCALHOST", "127.0.0.1:80", "[::1]:80", "127.0.0.2"]
    foreign = [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "::1",
        "192.168.0.5",
        "",
        "localhost:80:80",
        "[::1",
        "localhost:x",
    ]
    for host in own + foreign:
        for path in ("/health", "/v1/models"):
            connection = http.client.HTTPConnection(live.url.removeprefix("http://"), timeout=20)
            connection.putrequest("GET", path, skip_host=True)
            connection.putheader("Host", host)
            connection.endheaders()
            assert connection.getresponse().status == (200 if host in own else 421), host
            connection.close()


def test_a_public_server_answers_to_any_name(start: Any) -> None:
    live = start(key=KEY, loopback=False)
    headers = {"Host": "models.example", "Authorization": f"Bearer {KEY}"}
    assert httpx.get(f"{live.url}/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.168.1.2", False),
        ("models.example", False),
        ("127.1", False),
        ("localhost.", False),
    ],
)
def test_other_addresses_need_a_key(host: str, local: bool) -> None:
    assert is_loopback(host) is local
    check_binding(host, KEY)
    if local:
        check_binding(host, None)
    else:
        with pytest.raises(UsageError) as caught:
            check_binding(host, None)
        assert "key" in str(caught.value) and caught.value.hint


@pytest.mark.parametrize("key", ["", " ", "two words", "line\n", "ключ"])
def test_keys_that_cannot_be_used(key: str) -> None:
    with pytest.raises(UsageError):
        check_binding("127.0.0.1", key)
