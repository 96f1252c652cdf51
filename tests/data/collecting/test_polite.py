"""R16: manners. What robots.txt says is done, hosts are asked at their pace, redirects are checked."""

import email.utils
import time

import httpcore2
import pytest

from sartor.data.collecting.entry import Unreachable
from sartor.data.collecting.web.client import Client, Response
from sartor.data.collecting.web.connection import CheckedBackend
from sartor.data.collecting.web.polite import Manners, PoliteClient, RobotsAnswer


class Memory:
    def __init__(self):
        self.answers = {}

    def robots(self, origin):
        return self.answers.get(origin)

    def keep_robots(self, origin, answer):
        self.answers[origin] = answer


class Web:
    """Stands for the client: answers by address, with a clock that only sleeping moves."""

    def __init__(self, **pages):
        self.pages = pages
        self.asked = []
        self.time = 1_000.0
        self.memory = Memory()

    def get(self, url, headers=None):
        self.asked.append((url, self.time))
        answer = self.pages[url]
        answer = answer.pop(0) if isinstance(answer, list) else answer
        if isinstance(answer, Exception):
            raise answer
        status, named, body = answer
        return Response(url, status, named, body)

    def sleep(self, seconds):
        assert seconds > 0
        self.time += seconds

    def polite(self, **manners):
        clock = lambda: self.time  # noqa: E731
        return PoliteClient(self, Manners(**manners), self.memory, self.sleep, clock, clock)

    def times(self, url):
        return [when - 1_000 for asked, when in self.asked if asked == url]


def robots(text, status=200):
    return {"http://a.example/robots.txt": (status, {}, text.encode())}


def ok(body=b"page"):
    return (200, {}, body)


def moved(place, status=302):
    return (status, {"location": place}, b"")


PAGE = "http://a.example/page"


def web(pages):
    made = Web()
    made.pages = pages
    return made


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("User-agent: *\nDisallow: /", "/page", False),
        ("User-agent: *\nDisallow: /private", "/page", True),
        ("User-agent: *\nDisallow: /private", "/private/x", False),
        ("\ufeffUser-agent: *\nDisallow: /", "/page", False),
        ("User-agent: *\nDisallow: /\nAllow: /page", "/page", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: Sartor\nDisallow: /other", "/page", True),
        ("User-agent: *\nAllow: /\n\nUser-agent: sartor\nDisallow: /", "/page", False),
        ("User-agent: *\nDisallow: /*.php$", "/x.php", False),
        ("User-agent: *\nDisallow: /*.php$", "/x.php5", True),
        ("User-agent: GPTBot\nDisallow: /", "/page", True),
        ("", "/page", True),
        ("\x00\xff<html>nonsense", "/page", True),
    ],
)
def test_robots_txt_is_done_as_it_says(rules, path, allowed):
    url = "http://a.example" + path
    made = web(robots(rules) | {url: ok()})
    if allowed:
        assert made.polite().get(url).body == b"page"
    else:
        with pytest.raises(Unreachable) as error:
            made.polite().get(url)
        assert error.value.reason == "robots_forbid" and not made.times(url)


@pytest.mark.parametrize(("status", "allowed"), [(404, True), (403, True), (500, False), (502, False)])
def test_without_robots_txt_all_is_allowed_and_with_a_broken_one_nothing(status, allowed):
    made = web(robots("", status) | {PAGE: ok()})
    if allowed:
        assert made.polite().get(PAGE).status == 200
    else:
        with pytest.raises(Unreachable) as error:
            made.polite().get(PAGE)
        assert (error.value.reason, error.value.is_temporary) == ("robots_unreachable", True)


def test_a_robots_txt_out_of_reach_forbids_everything_for_now():
    made = web({"http://a.example/robots.txt": Unreachable("no_connection", "down", True), PAGE: ok()})
    with pytest.raises(Unreachable, match="robots_unreachable"):
        made.polite().get(PAGE)
    assert len(made.times("http://a.example/robots.txt")) == 4


def test_a_private_address_behind_robots_txt_is_named_as_such():
    made = web({"http://a.example/robots.txt": Unreachable("address_not_public", "10.0.0.1")})
    with pytest.raises(Unreachable, match="address_not_public"):
        made.polite().get(PAGE)


def test_robots_txt_is_asked_for_once_a_day():
    made = web(robots("User-agent: *\nDisallow: /no") | {PAGE: ok()})
    polite = made.polite()
    polite.get(PAGE)
    polite.get(PAGE)
    made.polite().get(PAGE)  # another run, with the same memory
    assert len(made.times("http://a.example/robots.txt")) == 1
    made.time += 25 * 3600
    polite.get(PAGE)
    assert len(made.times("http://a.example/robots.txt")) == 2
    assert isinstance(made.memory.robots("http://a.example"), RobotsAnswer)


def test_a_hostile_robots_txt_is_read_in_bounded_time():
    rules = "User-agent: *\nDisallow: /" + "*a" * 5_000 + "$\n" + "Disallow: /x\n" * 100_000
    url = "http://a.example/" + "a" * 1_500 + "b"
    made = web(robots(rules) | {url: ok()})
    started = time.monotonic()
    assert made.polite().get(url).status == 200
    assert time.monotonic() - started < 5


def test_a_host_is_asked_at_its_pace_and_others_do_not_wait():
    made = web(robots("User-agent: *\nCrawl-delay: 7") | {PAGE: ok()})
    made.pages |= {"http://b.example/robots.txt": (404, {}, b""), "http://b.example/": ok()}
    polite = made.polite(requests_per_second=0.5)
    polite.get(PAGE)
    polite.get(PAGE)
    assert made.times("http://a.example/robots.txt") == [0.0]
    first, second = made.times(PAGE)
    assert first == 2.0 and second - first == 7.0
    assert polite.ready_in("http://b.example/") == 0 and polite.ready_in(PAGE) == 7.0


def test_a_delay_that_is_too_long_is_refused_not_shortened():
    made = web(robots("User-agent: *\nCrawl-delay: 86400") | {PAGE: ok()})
    with pytest.raises(Unreachable, match="crawl_delay_too_long"):
        made.polite().get(PAGE)
    assert not made.times(PAGE)


@pytest.mark.parametrize(
    ("headers", "pauses"),
    [
        ({"retry-after": "30"}, [30.0, 30.0]),
        ({"retry-after": email.utils.formatdate(1_000 + 60, usegmt=True)}, [59.0, 4.0]),
        ({}, [2.0, 4.0]),
        ({"retry-after": "soon"}, [2.0, 4.0]),
    ],
)
def test_a_busy_server_is_left_in_peace(headers, pauses):
    made = web(robots("") | {PAGE: [(429, headers, b""), (503, headers, b""), ok()]})
    assert made.polite().get(PAGE).body == b"page"
    first, second, third = made.times(PAGE)
    assert [second - first, third - second] == pytest.approx(pauses, abs=1.01)


def test_a_server_that_stays_busy_is_given_up():
    made = web(robots("") | {PAGE: (429, {}, b"")})
    with pytest.raises(Unreachable, match="busy: status 429, 4 times") as error:
        made.polite().get(PAGE)
    assert error.value.is_temporary and len(made.times(PAGE)) == 4


def test_who_asks_for_a_day_is_given_up_at_once():
    made = web(robots("") | {PAGE: (503, {"retry-after": "86400"}, b"")})
    with pytest.raises(Unreachable, match="asks to wait 86400 s"):
        made.polite().get(PAGE)
    assert len(made.times(PAGE)) == 1


def test_a_broken_connection_is_tried_again_but_a_slow_page_is_not():
    made = web(robots("") | {PAGE: [Unreachable("no_connection", "reset", True), ok()]})
    assert made.polite().get(PAGE).body == b"page"
    made = web(robots("") | {PAGE: Unreachable("too_slow", "30 s", True)})
    with pytest.raises(Unreachable, match="too_slow"):
        made.polite().get(PAGE)
    assert len(made.times(PAGE)) == 1


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file:///etc/passwd", "not_a_web_address"),
        ("ftp://a.example/x", "not_a_web_address"),
        ("gopher://127.0.0.1:6379/_INFO", "not_a_web_address"),
        ("http://user:secret@a.example/", "names_in_address"),
        ("http://[::1", "not_a_web_address"),
        ("/private/x", "robots_forbid"),
        ("/page", "too_many_redirects"),
        ("", "redirect_without_place"),
    ],
)
def test_a_redirect_is_checked_like_a_first_request(place, reason):
    rules = robots("User-agent: *\nDisallow: /private")
    made = web(rules | {PAGE: moved(place), "http://a.example/private/x": ok()})
    with pytest.raises(Unreachable) as error:
        made.polite().get(PAGE)
    assert error.value.reason == reason
    assert not made.times("http://a.example/private/x")


def test_redirects_are_followed_to_another_host_by_its_own_robots_txt():
    made = web(robots("") | {PAGE: moved("//b.example/new#part", 301), "http://b.example/new": ok(b"new")})
    made.pages["http://b.example/robots.txt"] = ok(b"User-agent: *\nDisallow: /")
    with pytest.raises(Unreachable, match="robots_forbid"):
        made.polite().get(PAGE)
    made.pages["http://b.example/robots.txt"] = (404, {}, b"")
    made.memory = Memory()
    assert made.polite().get(PAGE).url == "http://b.example/new"


def test_a_real_redirect_to_a_private_address_is_refused(server):
    """The first host is public by name; the address it sends us to is this machine's."""
    server.page("/secret", "secret")
    server.page("/robots.txt", "", 404)
    server.pages["/go"] = (302, {"Location": f"http://internal.example:{server.url.rpartition(':')[2]}/secret"}, b"")

    def resolve(host, port):
        return ["127.0.0.1"] if host == "internal.example" else ["8.8.8.8"]

    def connect(address, port, timeout):
        assert address == "8.8.8.8"  # stands for the public host, which this server plays
        return httpcore2.SyncBackend().connect_tcp("127.0.0.1", port, timeout)

    backend = CheckedBackend(resolve, False, connect)
    with Client("Sartor/test", 1_000, 5.0, backend=backend) as client:
        polite = PoliteClient(client, Manners(requests_per_second=100), Memory())
        with pytest.raises(Unreachable, match="internal.example has the address 127.0.0.1"):
            polite.get(f"http://public.example:{server.url.rpartition(':')[2]}/go")
    assert "/secret" not in server.asked
