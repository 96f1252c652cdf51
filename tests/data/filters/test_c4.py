import pytest

from sartor.data.filters.c4 import C4Quality, num_sentences
from sartor.data.filters.texts import Texts
from tests.data.filters.judging import edited, outcome, reason, table

LINES_ONLY = C4Quality(min_sentences=None)
GOOD = "Here is a line."


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        ("It ends here.", True),
        ("Does it end?", True),
        ("It ends now!", True),
        ('She said "yes"', True),
        ("She said 'yes'", True),
        ("It does not end", False),
        ("It goes on...", False),
        ("It goes on…", False),
        ("It is a heading:", False),
        ("これは 長い 文です。", False),  # the published marks are ASCII's
        ("Three words here.", True),
        ("Two words.", False),
        ("a b " + "x" * 999 + ".", True),
        ("a b " + "x" * 1000 + ".", False),
        ("a b " + "é" * 999 + ".", True),
        ("We need JavaScript for this.", False),
        ("Read our Privacy Policy first.", False),
        ("By using it, you accept the TERMS OF USE.", False),
        ("This site uses cookies always.", False),
        ("We like cookies with milk.", True),
    ],
)
def test_which_lines_stay(line, stays):
    assert edited(LINES_ONLY, f"{GOOD}\n  {line} \n{GOOD}") == "\n".join([GOOD, line, GOOD] if stays else [GOOD, GOOD])


def test_without_the_rule_of_terminal_marks_headings_stay():
    rule = C4Quality(terminal_marks=None, min_sentences=None)
    assert edited(rule, "A heading of words\nTwo words\n") == "A heading of words"


def test_citations_go_before_the_end_of_the_line_is_looked_at():
    text = "Water is wet.[1][23]\nIt was[edit] said so.[citation needed]\nSee it [4a] there."
    assert edited(LINES_ONLY, text) == "Water is wet.\nIt was said so.\nSee it [4a] there."
    assert outcome(LINES_ONLY, text).counts["citations removed"] == 4


def test_pages_that_go():
    assert reason(LINES_ONLY, f"{GOOD}\nLorem Ipsum dolor sit.") == "c4_lorem_ipsum"
    assert reason(LINES_ONLY, f"{GOOD}\nif (a) {{ run b.") == "c4_curly_bracket"
    # Lines that go for a reason before it do not condemn the page.
    assert reason(LINES_ONLY, f"{GOOD}\nlorem ipsum\nfunction() {{") is None
    assert reason(LINES_ONLY, f"{GOOD}\nJavascript has {{ brackets.") is None
    assert reason(LINES_ONLY, f"{GOOD}\nOur privacy policy has a {{ bracket.") == "c4_curly_bracket"


def test_five_sentences_are_enough_and_four_are_not():
    assert reason(C4Quality(), "It is one. It is two. It is three.\nIt is four. It is five.") is None
    assert reason(C4Quality(), "It is one. It is two. It is three.\nIt is four and five.") == "c4_few_sentences"
    assert reason(C4Quality(), "") == "c4_few_sentences"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two. Three.", 3),
        ("One two three", 1),
        ("One.\nTwo\nThree", 3),
        ('"Really?!" he asked. "Yes."', 3),
        ("Mr. Smith e.g. went home.", 1),
        ("Stop... and go.", 1),
        ("One . ) Two", 2),
        ("文です。次の文。", 1),  # no spaces, so one word
        ("", 0),
    ],
)
def test_sentences(text, count):
    assert num_sentences(Texts.of_column(table([text])["text"])).tolist() == [count]


def test_a_dropped_document_keeps_its_text_and_a_kept_one_gets_a_new_hash():
    bad, good = "no end\nlorem ipsum is here.", "no end\n" + "It is so. " * 5
    found = outcome(C4Quality(), bad, good)
    assert found.documents["text"].to_pylist() == [bad, ("It is so. " * 5).strip()]
    assert found.documents["sha256"].to_pylist() == table(found.documents["text"].to_pylist())["sha256"].to_pylist()
    assert found.counts["lines removed: no terminal mark"] == 1  # of kept documents


def test_counts_name_every_rule():
    lines = "no end here\nTwo words.\nRun javascript in it.\nSee the privacy policy now.\nIt is[1] kept."
    counts = outcome(LINES_ONLY, "x" * 1001 + " a b.\n" + lines).counts
    assert set(counts.values()) == {1} and len(counts) == 6
