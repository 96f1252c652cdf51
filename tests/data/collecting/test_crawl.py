"""Collecting from a real web server: nothing fetched twice, refreshed by asking, never more than is allowed."""

import gzip
import json
import signal
import subprocess
import sys
import time

import pytest

from sartor.base.errors import Interrupted
from sartor.base.signals import StopRequest
from tests.data.collecting.collections import collect, documents, rejects


def sitemap(server, *paths):
    inside = "".join(f"<url><loc>{server.url}{path}</loc></url>" for path in paths)
    return f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{inside}</urlset>'


def index(server, *paths):
    inside = "".join(f"<sitemap><loc>{server.url}{path}</loc></sitemap>" for path in paths)
    return f'<?xml version="1.0"?><sitemapindex>{inside}</sitemapindex>'


def test_a_page_keeps_its_source_and_what_is_known_of_it(server, tmp_path):
    body = "<html><head><title>Ã©té</title></head><body>naïve".replace("Ã©", "é").encode("cp1252")
    licence = "<https://creativecommons.org/licenses/by/4.0/>; rel=license"
    server.page(
        "/a", body, Content_Type="text/html; charset=ISO-8859-1", Link=licence, Last_Modified="Mon, 01 Jan 2024"
    )
    report = collect(tmp_path / "out", server.url + "/a")
    (row,) = documents(tmp_path / "out")
    assert (row["id"], row["source"], row["media_type"]) == (server.url + "/a", server.url + "/a", "text/html")
    assert (row["title"], row["licence"]) == ("été", "CC-BY-4.0") and row["text"].endswith("naïve")
    assert json.loads(row["metadata"])["last_modified"] == "Mon, 01 Jan 2024"
    assert report.found == report.documents == 1
    assert server.asked == ["/robots.txt", "/a"]
    assert server.headers[1]["user-agent"].startswith("Sartor/") and server.headers[1]["host"] in server.url


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/html", "<meta charset='shift_jis'>日本".encode("shift_jis"), "日本"),
        ("text/html; charset=latin1", "\ufeffé".encode(), "é"),
        ("text/html; charset=utf-16le", "é".encode("utf-16-le"), "é"),
        ("text/html; charset=bogus", "<p>é".encode(), "<p>é"),
        ("text/html", "Привет, это обычный русский текст".encode("cp1251"), "русский"),
        ("text/plain; charset=iso-8859-1", "é".encode("latin-1"), "é"),
        ("text/markdown", b"# Hi", "# Hi"),
    ],
)
def test_encodings(server, tmp_path, content_type, body, text):
    server.page("/a", body, Content_Type=content_type)
    collect(tmp_path / "out", server.url + "/a")
    (row,) = documents(tmp_path / "out")
    assert text in row["text"] and row["media_type"] == content_type.partition(";")[0]


def test_a_sitemap_index_leads_to_pages_and_each_is_fetched_once(server, tmp_path):
    server.page("/sitemap.xml", index(server, "/one.xml", "/two.xml.gz", "/nested.xml"), Content_Type="application/xml")
    server.page("/one.xml", sitemap(server, "/a", "/b", "/a#part"), Content_Type="application/xml")
    server.page("/two.xml.gz", gzip.compress(sitemap(server, "/b", "/c").encode()), Content_Type="application/gzip")
    server.page("/nested.xml", index(server, "/one.xml"))
    other = sitemap(server).replace("</urlset>", "<url><loc>http://other.example/</loc></url></urlset>")
    server.page("/three.xml", other)
    for path in "abc":
        server.page("/" + path, f"<p>page {path}")
    report = collect(tmp_path / "out", server.url + "/sitemap.xml", server.url + "/three.xml", server.url + "/a")
    assert sorted(row["text"] for row in documents(tmp_path / "out")) == ["<p>page a", "<p>page b", "<p>page c"]
    assert report.left_out == {"sitemaps": 4}
    assert rejects(tmp_path / "out") == {
        server.url + "/nested.xml": "nested_index", "http://other.example/": "other_host",
    }  # fmt: skip
    assert all(server.count(path) == 1 for path in set(server.asked))


def test_an_unchanged_page_is_not_sent_again(server, tmp_path):
    out = tmp_path / "out"
    server.page("/sitemap.xml", sitemap(server, "/tagged", "/plain", "/changing"), ETag='"s1"')
    server.page("/tagged", "<p>tagged", ETag='"v1"', Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT")
    server.page("/plain", "<p>plain")
    server.page("/changing", "<p>before", ETag='"v1"')
    first = collect(out, server.url + "/sitemap.xml")
    assert (first.documents, first.unchanged) == (3, 0)
    server.page("/changing", "<p>after", ETag='"v2"')
    server.asked.clear()
    server.headers.clear()
    second = collect(out, server.url + "/sitemap.xml")
    assert (second.documents, second.unchanged, second.found) == (1, 2, 3)
    assert {row["text"] for row in documents(out)} == {"<p>tagged", "<p>plain", "<p>after"}
    asked = dict(zip(server.asked, server.headers, strict=True))
    assert asked["/tagged"]["if-none-match"] == '"v1"' and "if-modified-since" in asked["/tagged"]
    assert asked["/sitemap.xml"]["if-none-match"] == '"s1"' and "/robots.txt" not in asked


def test_a_page_that_goes_is_removed_but_one_out_of_reach_is_kept(server, tmp_path):
    out = tmp_path / "out"
    server.page("/sitemap.xml", sitemap(server, "/gone", "/down", "/unlisted"))
    for path in ("/gone", "/down", "/unlisted"):
        server.page(path, path)
    assert collect(out, server.url + "/sitemap.xml").documents == 3
    server.page("/sitemap.xml", sitemap(server, "/gone", "/down"))
    server.page("/gone", "gone", status=410)
    server.page("/down", "error", status=500)
    report = collect(out, server.url + "/sitemap.xml")
    assert (report.documents, report.kept, report.rejected, report.removed, report.found) == (0, 1, 1, 1, 2)
    assert [row["text"] for row in documents(out)] == ["/down"]
    assert rejects(out) == {server.url + "/gone": "http_410"} and "500" in report.problems[0]
    server.page("/down", "/down")
    assert collect(out, server.url + "/sitemap.xml").unchanged == 1


def test_what_leads_to_pages_may_be_out_of_reach_for_a_moment(server, tmp_path):
    out = tmp_path / "out"
    seeds = [server.url + "/sitemap.xml", server.url + "/seed"]

    def up():
        server.page("/sitemap.xml", sitemap(server, "/a", "/b"))
        server.page("/seed", '<a href="/c"></a>' + "too long for a document " * 99)

    for path in ("/a", "/b", "/c"):
        server.page(path, path)
    up()
    first = collect(out, *seeds, follow=1, document_bytes=1_000)
    before = documents(out)
    assert len(before) == 3 and rejects(out) == {seeds[1]: "too_large"}
    server.page("/sitemap.xml", "error", status=500)
    server.page("/seed", "error", status=500)
    for _ in range(2):
        report = collect(out, *seeds, follow=1, document_bytes=1_000)
        assert (report.removed, report.total) == (0, first.total) and len(report.problems) == 2
        assert documents(out) == before
    up()
    server.page("/sitemap.xml", sitemap(server, "/a"))
    assert collect(out, *seeds, follow=1, document_bytes=1_000).removed == 1


def test_more_pages_may_be_asked_for_later(server, tmp_path):
    out = tmp_path / "out"
    server.page("/", '<a href="/a">a</a> <a href="/b">b</a> <a href="/c">c</a>', ETag='"v1"')
    for path in ("/a", "/b", "/c"):
        server.page(path, path)
    report = collect(out, server.url + "/", follow=1, max_pages=2)
    assert (report.total, report.reasons) == (2, {"page_limit": 2})
    report = collect(out, server.url + "/", follow=1, max_pages=10)
    assert (report.total, report.reasons) == (4, {})
    assert collect(out, server.url + "/", follow=1, max_pages=10).unchanged == 4


def test_the_limit_of_pages_holds_in_later_rounds(server, tmp_path):
    out = tmp_path / "out"
    server.page("/", '<a href="/a">a</a>')
    server.page("/a", "<p>nothing yet")
    assert collect(out, server.url + "/", follow=2, max_pages=3).unchanged == 0
    server.page("/a", '<a href="/b">b</a> <a href="/c">c</a>')
    for path in ("/b", "/c"):
        server.page(path, path)
    report = collect(out, server.url + "/", follow=2, max_pages=3)
    assert (report.total, report.reasons) == (3, {"page_limit": 1})


def test_links_are_followed_as_deep_as_asked_on_the_same_host(server, tmp_path):
    server.page(
        "/", '<a href="/a">a</a> <a href="b">b</a> <a href="http://other.example/">o</a> <a href="mailto:x@y">m</a>'
    )
    server.page("/a", '<a href="/">back</a><a href="/deep">deep</a>')
    server.page("/b", "<p>b")
    server.page("/deep", "<p>deep")
    assert collect(tmp_path / "zero", server.url + "/").documents == 1
    assert collect(tmp_path / "one", server.url + "/", follow=1).documents == 3
    assert collect(tmp_path / "two", server.url + "/", follow=2).documents == 4
    report = collect(tmp_path / "few", server.url + "/", follow=2, max_pages=2)
    assert (report.documents, report.reasons) == (2, {"page_limit": 2})


def test_what_is_no_document_is_named(server, tmp_path):
    server.page("/picture", b"\x89PNG", Content_Type="image/png")
    server.page("/data", b"PK\x03\x04", Content_Type="application/octet-stream")
    server.page("/empty", "")
    server.page("/large", "x" * 1_500_000)
    server.page("/bad.pdf", b"%PDF-1.4 nothing", Content_Type="application/pdf")
    paths = ["/picture", "/data", "/empty", "/large", "/absent", "/bad.pdf"]
    report = collect(tmp_path / "out", *[server.url + path for path in paths])
    assert {place.removeprefix(server.url): reason for place, reason in rejects(tmp_path / "out").items()} == {
        "/picture": "no_document", "/data": "no_document", "/empty": "empty", "/large": "too_large",
        "/absent": "http_404", "/bad.pdf": "unreadable",
    }  # fmt: skip
    assert (report.found, report.rejected, documents(tmp_path / "out")) == (6, 6, [])


def test_private_addresses_are_refused_without_the_flag(server, tmp_path):
    server.page("/a", "<p>secret")
    collect(tmp_path / "out", server.url + "/a", "http://localhost:1/", "http://[::1]:1/", allow_private=False)
    assert set(rejects(tmp_path / "out").values()) == {"address_not_public"} and server.asked == []


def test_robots_txt_holds_for_a_collection(server, tmp_path):
    server.page("/robots.txt", "User-agent: *\nDisallow: /private", Content_Type="text/plain")
    server.page("/private/a", "no")
    server.page("/b", "<p>yes")
    collect(tmp_path / "out", server.url + "/private/a", server.url + "/b")
    assert rejects(tmp_path / "out") == {server.url + "/private/a": "robots_forbid"}
    assert "/private/a" not in server.asked


def test_stopped_in_the_middle_it_goes_on_and_asks_for_nothing_twice(server, tmp_path):
    paths = [f"/{number}" for number in range(20)]
    server.page("/sitemap.xml", sitemap(server, *paths))
    for path in paths:
        server.page(path, path)

    stop = StopRequest()

    def stopping(handler):
        stop.requested = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n/7")

    server.pages["/7"] = stopping
    with pytest.raises(Interrupted):
        collect(tmp_path / "out", server.url + "/sitemap.xml", stop=stop)
    assert 1 < len(server.asked) < 15
    report = collect(tmp_path / "out", server.url + "/sitemap.xml")
    assert report.documents == 20 and all(server.count(path) == 1 for path in server.asked)


def test_killed_in_the_middle_it_goes_on_and_loses_at_most_the_page_under_way(server, tmp_path):
    paths = [f"/{number}" for number in range(40)]
    server.page("/sitemap.xml", sitemap(server, *paths))
    for path in paths:
        server.page(path, path)
    command = [sys.executable, "-m", "sartor", "collect", server.url + "/sitemap.xml", "--out", str(tmp_path / "out")]
    command += ["--allow-private-addresses", "--requests-per-second", "100"]
    for asked in (3, 12, 25):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while len(server.asked) < asked and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["found"], report["documents"], report["rejected"]) == (40, 40, 0)
    assert sorted(row["text"] for row in documents(tmp_path / "out")) == sorted(paths)
    twice = sum(server.count(path) - 1 for path in set(server.asked))
    assert twice <= 3  # at most the one under way at each kill


def test_a_slow_host_does_not_hold_up_another(server, tmp_path):
    """Two origins on one machine: while one is to be left in peace, the other is asked."""
    server.page("/robots.txt", "User-agent: *\nCrawl-delay: 1", Content_Type="text/plain")
    for path in ("/a", "/b"):
        server.page(path, path)
    other = server.url.replace("127.0.0.1", "localhost")
    started = time.monotonic()
    urls = [server.url + "/a", server.url + "/b", other + "/a", other + "/b"]
    assert collect(tmp_path / "out", *urls).documents == 4
    assert time.monotonic() - started < 3.5  # one after the other it would take twice as long
