"""The frame of every page."""

import pytest
from jinja2 import UndefinedError

from sartor.reporting.page import page_bytes, render_page

TEMPLATE = """{% extends "page.html.jinja" %}
{% block style %}.own { color: red; }{% endblock %}
{% block title %}{{ title }}{% endblock %}
{% block main %}<p>{{ words }}</p>{% endblock %}
"""


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "small.html.jinja"
    path.write_text(TEMPLATE)
    return path


def test_a_page_fills_the_frame_and_everything_is_escaped(template):
    text = render_page(template, {"title": "A & B", "words": "<b>bold</b>"})
    assert text.startswith("<!doctype html>") and text.count("<style>") == 1
    assert "<title>A &amp; B</title>" in text and "<p>&lt;b&gt;bold&lt;/b&gt;</p>" in text
    assert text.index(".own { color: red; }") < text.index("</style>")
    assert "runs no script and loads nothing" in text


def test_a_value_that_is_missing_is_an_error(template):
    with pytest.raises(UndefinedError):
        render_page(template, {"title": "A"})


def test_half_a_surrogate_is_shown_as_an_escape():
    assert page_bytes("a\ud800b") == b"a\\ud800b"
