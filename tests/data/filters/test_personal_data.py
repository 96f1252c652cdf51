"""The scrub: planted values go and nothing else changes (R17), policies are followed, hints hide nothing."""

import json
import logging
import random
import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.base.errors import UsageError
from sartor.data.documents import documents_table, text_hash
from sartor.data.filters.personal_data.kinds import DETECTORS, KINDS
from sartor.data.filters.personal_data.policy import DEFAULT_POLICIES, STAND_INS, Policy
from sartor.data.filters.personal_data.scrub import PersonalData, find_personal_data
from tests.data.filters.planted_secrets import MAKERS, planted

ALL = PersonalData(dict.fromkeys(KINDS, "tag"))
PIECES = ["4111111111111111", "a.b@c.de", "+49 30 1234567", "192.168.1.1", "8.8.8.8", "123-45-6789", " ",
"\n", "-", ".", "tel",
          "DE89370400440532013000", "https://u:p@h.org/", "born on 3 May 1990", "Mr. Smith", "12 High Street",
          "é", "日", "@", ":", "0"]  # fmt: skip


def table(*texts: str, **columns: str) -> pa.Table:
    return documents_table({"id": str(i), "text": text, "source": "s", **columns} for i, text in enumerate(texts))


def scrubbed(text: str, step: PersonalData = ALL) -> str:
    return step(table(text)).documents["text"][0].as_py()


@pytest.mark.parametrize("kind", MAKERS)
def test_planted_values_go_and_nothing_else_changes(kind, caplog, capfd):
    """R17, reduced: 200 cases over the kinds."""
    source = random.Random(f"17 {kind}")
    cases = [planted(source, kind) for _ in range(-(-200 // len(MAKERS)))]
    documents = table(*(text for _, text, _ in cases))
    with caplog.at_level(logging.DEBUG):
        outcome = PersonalData()(documents)
    assert outcome.documents["text"].to_pylist() == [clean for _, _, clean in cases]
    assert outcome.documents["sha256"].to_pylist() == [text_hash(clean) for _, _, clean in cases]
    assert outcome.counts == {f"{kind} replaced": len(cases)} and outcome.reasons is None
    dropped = PersonalData({kind: "drop"})(documents)
    assert set(dropped.reasons.to_pylist()) == {f"personal_data_{kind}"}
    said = f"{outcome.counts} {dropped.counts} {dropped.reasons} {caplog.text} {''.join(capfd.readouterr())}"
    said += "".join(dropped.documents["text"].to_pylist())  # rejects are kept and read
    assert not [value for value, _, _ in cases if value in said]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@settings(max_examples=300)
def test_scrubbing_twice_is_scrubbing_once(text):
    once = scrubbed(text)
    assert scrubbed(once) == once


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join))
@settings(max_examples=300)
def test_a_hint_hides_no_finding(text):
    column = pa.array([text], pa.large_string())
    for detector in DETECTORS:
        if list(detector.find(text)):
            assert pc.match_substring_regex(column, detector.hint)[0].as_py(), detector.kind


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=6).map("".join), min_size=2, max_size=6), st.integers(1, 5))
def test_any_cut_gives_the_same(texts, size):
    whole = ALL(table(*texts))
    parts = [ALL(table(*texts).slice(start, size)) for start in range(0, len(texts), size)]
    assert pa.concat_tables(part.documents for part in parts).equals(whole.documents)
    assert sum(sum(part.counts.values()) for part in parts) == sum(whole.counts.values())


@given(st.text(max_size=60))
def test_spans_lie_in_the_text_and_apart(text):
    end = 0
    for finding in find_personal_data(text + " a.b@c.de " + text):
        assert finding.start >= end and finding.end > finding.start
        end = finding.end


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3.4, >= 2.0.0.1 and v10.0.0.1", "192.168.0.1 127.0.0.1 10.1.2.3 ::1 256.1.1.1",
        "would be:: 2006:: std::vector",
        "me@example.com, @handle, a @ b.c", "4111111111111112 1234567890123456", "ISBN 978-3-16-148410-0",
        "2014-2015, 2016-01-14 03:07:43",
        "DE89370400440532013001", "000-12-3456 666-12-3456", "12:34:56 and 1,234,567.89",
        "https://host.org:8080/path", "page 1234567",
        "password = \"your_password1\"", "token: ${TOKEN}", "It took place in 1999 on Route 66",
        "<EMAIL_ADDRESS> <PHONE_NUMBER>",
        "Revenue 2023 2024 2025", "credit 2017 2018 2019 2020",
        "4 5 6 7 8 9 10 11 12 13 14 15 16", "3.14159265358979", "0.123456789012",
        "Call me on 12/05/2020 or 1/12/2020 or 05/2020 1430", "tel 2019/2020/21", "phone 1234/5678",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_stays(text):
    assert find_personal_data(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://user:pass1@host.org/x", {"url_credentials": "user:pass1"}),
        ("jürgen.groß@bücher.de.", {"email_address": "jürgen.groß@bücher.de"}),
        ("from 2a00:1450:4001:81b::200e on", {"ip_address": "2a00:1450:4001:81b::200e"}),
        ("cards 4111 1111 1111 1111 or 3782-822463-10005", {"credit_card": "3782-822463-10005"}),
        ("IBAN GB82 WEST 1234 5698 7654 32.", {"iban": "GB82 WEST 1234 5698 7654 32"}),
        ("CPF 529.982.247-25", {"national_id": "529.982.247-25"}),
        ("DNI 12345678Z", {"national_id": "12345678Z"}),
        ("codice RSSMRA85T10A562S", {"national_id": "RSSMRA85T10A562S"}),
        ("身份证 11010519491231002X", {"national_id": "11010519491231002X"}),
        ("hetu 131052-308T", {"national_id": "131052-308T"}),
        ("personnummer 811228-9874", {"national_id": "811228-9874"}),
        ("NIR 2 55 08 14 168 025 38", {"national_id": "2 55 08 14 168 025 38"}),
        ("NHS number: 943 476 5919", {"national_id": "943 476 5919"}),
        ("PESEL: 44051401359", {"national_id": "44051401359"}),
        ("BSN 111222333", {"national_id": "111222333"}),
        ("Steuer-ID 86095742719", {"national_id": "86095742719"}),
        ("call 555 0199 or (415) 867-5309", {"phone_number": "(415) 867-5309"}),
        ("Tel.: 0171 1234567", {"phone_number": "0171 1234567"}),
        ("Tel. 0171/1234567", {"phone_number": "0171/1234567"}),
        ("Telefon: 030/12345678.", {"phone_number": "030/12345678"}),
        ("Fax (030)/12345678", {"phone_number": "(030)/12345678"}),
        ("unter +49 171/1234567 oder", {"phone_number": "+49 171/1234567"}),
        ("unter 030/1234 5678 oder", {"phone_number": "030/1234 5678"}),
        ("card 4111\u00a01111\u00a01111\u00a01111", {"credit_card": "4111\u00a01111\u00a01111\u00a01111"}),
        ("BE68\u202f5390\u202f0754\u202f7034", {"iban": "BE68\u202f5390\u202f0754\u202f7034"}),
        ("123\u201145\u20116789", {"us_ssn": "123\u201145\u20116789"}),
        ("NHS number: 943\u2007476\u20075919", {"national_id": "943\u2007476\u20075919"}),
        ("PO12 1234 5678 DE89 3704 0044 0532 0130 00", {"iban": "DE89 3704 0044 0532 0130 00"}),
        ("api_key = 'a1B2c3D4e5F6'", {"api_key": "a1B2c3D4e5F6"}),
        ("She was born on 12 March 1981.", {"date_of_birth": "12 March 1981"}),
        ("at 12 Baker Street, Apt 4", {"street_address": "12 Baker Street, Apt 4"}),
        ("in der Lindenstraße 12", {"street_address": "Lindenstraße 12"}),
        ("My name is Ada Lovelace and", {"person": "Ada Lovelace"}),
    ],
)  # fmt: skip
def test_kinds(text, found):
    by_kind = {finding.kind: text[finding.start : finding.end] for finding in find_personal_data(text)}
    assert by_kind == found
    outcome = ALL(table(text))
    assert outcome.counts.keys() == {f"{kind} replaced" for kind in found}  # the hints let the text pass


def test_a_key_without_an_end_goes_with_its_lines():
    text = "-----BEGIN PRIVATE" + " KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASCBKcwggSjAgEAAoIBAQ\n" + "and on"
    assert scrubbed(text) == "<PRIVATE_KEY>\nand on"


def test_defaults_replace_what_can_be_checked_and_keep_the_rest():
    text = "Mr. Smith, born 12/03/1981, 12 Baker Street, s.smith@mail.org"
    assert scrubbed(text, PersonalData()) == text.replace("s.smith@mail.org", "<EMAIL_ADDRESS>")
    assert {kind for kind, policy in DEFAULT_POLICIES.items() if policy == Policy.KEEP} == {
        "date_of_birth", "street_address", "person"
    }  # fmt: skip


def test_stand_ins_are_stable_and_are_nobodys():
    step = PersonalData(dict.fromkeys(STAND_INS, "fake"))
    text = "a.b@mail.org, c@mail.org, a.b@mail.org, +49 30 1234567, 8.8.8.8, 123-45-6789"
    once = scrubbed(text, step)
    first, second, third, *rest = once.split(", ")
    assert first == third != second and first.endswith("@example.com") and len(rest) == 3
    assert scrubbed(once, step) == once and find_personal_data(once) == []
    assert scrubbed(text, PersonalData(step.policies, salt="other")) != once


def test_titles_and_metadata_are_scrubbed_too():
    outcome = ALL(
        table("fine", title="Write to a@mail.org", metadata='{"a@mail.org": ["x@mail.org", 4111111111111111]}')
    )
    assert outcome.documents["title"].to_pylist() == ["Write to <EMAIL_ADDRESS>"]
    assert outcome.documents["metadata"].to_pylist() == ['{"a@mail.org": ["<EMAIL_ADDRESS>", 4111111111111111]}']
    assert outcome.documents["sha256"].to_pylist() == [text_hash("fine")]


@pytest.mark.parametrize(
    ("metadata", "left"),
    [
        ({"note": 'so "password": "hunter2abcX9" works'}, {"note": 'so "password": "<API_KEY>" works'}),
        ({"login": {"password": "hunter2abcX9"}}, {"login": {"password": "<API_KEY>"}}),
        ({"notes": ["export TOKEN=abcDEF123456ghi"]}, {"notes": ["export TOKEN=<API_KEY>"]}),
        ({"note": "export TOKEN=abcDEF123456ghi"}, {"note": "export TOKEN=<API_KEY>"}),
        ({"note": "call\u00a0+49\u00a030\u00a01234567"}, {"note": "call\u00a0<PHONE_NUMBER>"}),
        ({"title": "On passwords", "half": "\ud800"}, {"title": "On passwords", "half": "\ud800"}),
    ],
)  # fmt: skip
def test_secrets_in_metadata_go_as_they_do_in_texts(metadata, left):
    outcome = PersonalData()(table("fine", metadata=json.dumps(metadata)))
    assert json.loads(outcome.documents["metadata"][0].as_py()) == left


def test_wrong_policies_are_refused():
    for policies in ({"emial_address": "tag"}, {"email_address": "hide"}, {"iban": "fake"}):
        with pytest.raises(UsageError):
            PersonalData(policies)


@pytest.mark.parametrize("evil", ["1 " * 20000, "a." * 20000 + "@",
"@a" * 20000, "1-" * 20000, "://a:" * 10000, "A" * 40000,
                                  "-----BEGIN PRIVATE" + " KEY-----\n" * 3000, "eyJa" * 10000, "::" * 20000,
            "1.2." * 10000,
                                  "Aa " * 15000, "password=" * 5000, "born " * 8000, "tel 123456 " * 4000])  # fmt: skip
@pytest.mark.timeout(20)
def test_hostile_texts_take_no_long_time(evil):
    find_personal_data(evil)


def test_tags_name_the_kinds():
    assert all(re.fullmatch(r"<[A-Z_]+>", detector.tag) for detector in DETECTORS)
