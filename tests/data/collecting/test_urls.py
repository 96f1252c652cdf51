"""One way of writing an address."""

import pytest

from sartor.data.collecting.entry import Unreachable
from sartor.data.collecting.web.urls import canonical, origin


@pytest.mark.parametrize(
    ("written", "result"),
    [
        ("HTTP://Example.ORG", "http://example.org/"),
        ("https://example.org:443/a#b", "https://example.org/a"),
        ("http://example.org:8080/ä b?q=ü", "http://example.org:8080/%C3%A4%20b?q=%C3%BC"),
        ("http://bücher.example./x%20y", "http://xn--bcher-kva.example/x%20y"),
        ("http://[2606:4700::1111]/", "http://[2606:4700::1111]/"),
        (" http://example.org/a/../b ", "http://example.org/a/../b"),
    ],
)
def test_an_address_is_written_in_one_way(written, result):
    assert canonical(written) == result
    assert canonical(result) == result


def test_links_are_taken_from_where_they_stand():
    assert canonical("../b?c", base="http://example.org/a/x/y") == "http://example.org/a/b?c"
    assert origin("https://example.org:8443/a") == "https://example.org:8443"


@pytest.mark.parametrize(
    "written",
    ["", "example.org", "mailto:a@b.c", "javascript:alert(1)", "file:///etc/passwd", "http://", "http:///x",
     "http://a@example.org/", "http://example.org:99999/", "http://" + "a" * 300 + ".example/", "http://[zz]/",
     "http://example.org/" + "a" * 3000],
)  # fmt: skip
def test_what_is_no_address_is_refused(written):
    with pytest.raises(Unreachable):
        canonical(written)
