"""Text while it arrives: whole characters, stop strings cut, nothing lost."""

from hypothesis import given
from hypothesis import strategies as st

from sartor.generation.text import TextStream


def decode(ids: list[int]) -> str:
    return bytes(ids).decode("utf-8", "replace")


def stream(text: str, stop: tuple[str, ...] = ()) -> tuple[TextStream, list[str]]:
    made, shown = TextStream(decode, stop), []
    for byte in text.encode():
        shown.append(made.push(byte))
        if made.stopped:
            return made, shown
    return made, [*shown, made.finish()]


@given(st.text(max_size=40))
def test_pieces_make_the_text_and_no_character_is_broken(text: str) -> None:
    made, shown = stream(text)
    assert "".join(shown) == made.text == text
    assert "\ufffd" not in "".join(shown) or "\ufffd" in text


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3))
def test_text_ends_before_the_first_stop_string_and_never_shows_it(text: str, stop: list[str]) -> None:
    made, shown = stream(text, tuple(stop))
    ends = [text.find(each) + len(each) for each in stop if each in text]
    assert made.stopped == bool(ends)
    if ends:
        before = text[: min(ends)]
        expected = min((before[: before.find(each)] for each in stop if each in before), key=len)
        assert "".join(shown) == made.text == expected
    else:
        assert "".join(shown) == text


def test_held_back_text_comes_when_it_cannot_be_a_stop_string_any_more() -> None:
    made = TextStream(decode, ("END",))
    assert [made.push(byte) for byte in b"aENx"] == ["a", "", "", "ENx"]
