"""Sitemaps: their addresses, and nothing that explodes."""

import gzip

import pytest

from sartor.data.collecting.entry import Unreachable
from sartor.data.collecting.web.sitemap import MOST_ADDRESSES, looks_like_sitemap, read_sitemap

HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = b' xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
PAGES = HEAD + b"<urlset" + NAMESPACE + b"><url><loc> http://a/1?x=1&amp;y=2 </loc><lastmod>2024</lastmod></url>"
PAGES += (
    b"<url><image:image xmlns:image='i'><image:title>no</image:title></image:image><loc>http://a/2</loc></url></urlset>"
)
INDEX = b"<sitemapindex" + NAMESPACE + b"><sitemap><loc>http://a/s.xml.gz</loc></sitemap></sitemapindex>"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_pages_and_sitemaps_are_listed(pack):
    assert looks_like_sitemap(pack(PAGES)) and looks_like_sitemap(pack(INDEX))
    assert read_sitemap(pack(PAGES)).pages == ["http://a/1?x=1&y=2", "http://a/2"]
    assert read_sitemap(pack(INDEX)).sitemaps == ["http://a/s.xml.gz"]


@pytest.mark.parametrize("body", [b"", b"<html>about <urlset>", b"\x1f\x8bdamaged", b"<?xml version='1.0'?><rss/>"])
def test_other_things_are_not_sitemaps(body):
    assert not looks_like_sitemap(body)


LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 9))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (PAGES[:-20], "damaged_sitemap"),
        (
            b'<!DOCTYPE x [<!ENTITY l0 "ha">' + LAUGHS + b"]><urlset><url><loc>&l8;</loc></url></urlset>",
            "damaged",
        ),
        (HEAD + b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><urlset/>', "damaged_sitemap"),
        (b"<urlset>" + b"<url>" * 1_000, "damaged_sitemap"),
        (gzip.compress(b"<urlset>" + b" " * 60_000_000), "sitemap_too_long"),
        (b"<urlset>" + b"<url><loc>http://a/</loc></url>" * (MOST_ADDRESSES + 1) + b"</urlset>", "sitemap_too_long"),
        (gzip.compress(PAGES)[:-5], "damaged_sitemap"),
    ],
)
def test_hostile_sitemaps_are_refused(body, reason):
    with pytest.raises(Unreachable) as error:
        read_sitemap(body)
    assert error.value.reason.startswith(reason)
