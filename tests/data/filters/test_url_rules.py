import pytest

from sartor.base.errors import DataError
from sartor.data.documents import documents_table
from sartor.data.filters.url_rules import UrlRules


def reasons(rules: UrlRules, *urls: str) -> list[str | None]:
    return rules(
        documents_table({"id": str(n), "text": "", "source": url} for n, url in enumerate(urls))
    ).reasons.to_pylist()


@pytest.fixture
def listed(tmp_path):
    def write(name: str, *entries: str):
        path = tmp_path / name
        path.write_text("# a comment\n\n" + "\n".join(entries) + "\n")
        return path

    return write


def test_a_site_stands_for_its_subdomains_and_an_address_for_itself(listed):
    rules = UrlRules(blocklist=listed("blocked", "Bad.example", "https://good.example/bad-page"))
    assert reasons(
        rules,
        "https://bad.example/x", "http://www.BAD.example:80/", "https://notbad.example", "https://bad.example.org",
        "https://good.example/bad-page", "https://good.example/", "https://[broken/",
    ) == ["url_blocked_site"] * 2 + [None] * 2 + ["url_blocked_page"] + [None] * 2  # fmt: skip


def test_entries_are_found_however_they_are_written(tmp_path):
    path = tmp_path / "blocked"
    entries = ["first.com", "second.com", "https://Third.com", "HTTPS://X.com/Page", "http://Fourth.com:80"]
    path.write_text("\r\n".join(entries), "utf-8-sig")
    assert reasons(
        UrlRules(blocklist=path),
        "https://first.com/a", "http://second.com", "http://www.third.com/a", "https://x.com/Page", "https://X.COM/Page",
        "https://x.com/page", "https://x.com/", "http://fourth.com/",
    ) == ["url_blocked_site"] * 3 + ["url_blocked_page"] * 2 + [None] * 2 + ["url_blocked_site"]  # fmt: skip


def test_one_hard_word_or_two_soft_ones(listed):
    rules = UrlRules(hard_words=listed("hard", "casino"), soft_words=listed("soft", "free", "win"))
    assert reasons(
        rules, "https://a.org/Casino-news", "https://casinos.org", "https://free.org/free", "https://free.org/win"
    ) == ["url_hard_word", None, None, "url_soft_words"]


def test_parts_of_words_are_found_across_punctuation(listed):
    rules = UrlRules(parts_of_words=listed("parts", "casino", "cas"))
    assert reasons(rules, "https://my-ca-sino.org", "https://occasion.org", "https://ca.org") == [
        "url_part_of_word"
    ] * 2 + [None]
    with pytest.raises(DataError, match="too short"):
        reasons(UrlRules(parts_of_words=listed("short", "ab")), "https://a.org")


def test_without_an_address_a_document_is_kept_and_counted(listed):
    rules = UrlRules(hard_words=listed("hard", "books"))
    rows = [
        {"id": "https://books.org/1", "text": "", "source": "crawl.warc.gz"},
        {"id": "books/1.txt", "text": "", "source": "books/1.txt"},
    ]
    outcome = rules(documents_table(rows))
    assert outcome.reasons.to_pylist() == ["url_hard_word", None]
    assert outcome.counts == {"documents without a URL": 1}


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(DataError, match="none.txt"):
        reasons(UrlRules(blocklist=tmp_path / "none.txt"), "https://a.org")
