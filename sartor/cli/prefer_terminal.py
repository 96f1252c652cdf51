"""`sartor prefer` in a terminal: two answers side by side, one key a judgement. Everything is shown on stderr."""

import contextlib
import os
import select
import sys
import termios
import tty
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sartor.base.console import console, say

if TYPE_CHECKING:
    from sartor.recipes.prefer import Pair, PreferenceSession

LEAST_WIDTH_FOR_COLUMNS = 90  # characters: below it a column holds too few words to be read with ease
POLL_SECONDS = 0.2
ESCAPE_SECONDS = 0.05  # the rest of an arrow key's code follows at once
KEYS = {
    b"1": "left", b"\x1b[D": "left", b"\x1bOD": "left",
    b"2": "right", b"\x1b[C": "right", b"\x1bOC": "right",
    b"t": "tie", b"s": "skip", b"u": "undo", b"q": "quit", b"": "quit",
}  # fmt: skip
KEY_HELP = "1 or ← left is better · 2 or → right is better · t tie · s skip · u undo the last · q quit"
TURNING_FORMATS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # they reorder what is read


def is_terminal() -> bool:
    """Whether somebody can see what is shown and press keys."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def judge_in_terminal(session: "PreferenceSession") -> None:
    """Show pair after pair until all are judged or the person quits."""
    with _single_keys() as read_key:
        while (pair := _next_pair(session)) is not None or session.can_undo:
            if pair is None:
                say("That was the last question. u undo the last · q quit")
            else:
                _show(pair, session)
            action = read_key()
            while action is None or (pair is None and action not in ("undo", "quit")):
                action = read_key()
            if action == "quit":
                return
            if action == "undo":
                say("Undone." if session.undo() else "There is nothing to undo.")
            elif pair is not None:
                session.judge(pair.id, action)


def printable(text: str) -> str:
    """The text without power over the terminal: control characters are shown as symbols, and marks that change the
    direction of reading as what they are called."""
    return "".join(_printable(character) for character in text.expandtabs(4))


def _printable(character: str) -> str:
    code = ord(character)
    if character == "\n" or (code >= 32 and unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")):
        return f"<U+{code:04X}>" if character in TURNING_FORMATS else character
    return chr(0x2400 + code) if code < 32 else f"<U+{code:04X}>"


def _next_pair(session: "PreferenceSession") -> "Pair | None":
    pair = session.next_pair(0)
    if pair is not None or session.is_finished:
        return pair
    with console().status("The next answers are being written …") as status:
        while (pair := session.next_pair(POLL_SECONDS)) is None and not session.is_finished:
            counts = session.counts
            unseen = counts.identical + counts.empty
            if unseen:
                status.update(f"The next answers are being written … ({unseen} pairs had nothing to choose between)")
    return pair


def _show(pair: "Pair", session: "PreferenceSession") -> None:
    screen = console()
    counts = session.counts
    done = counts.questions - counts.remaining
    screen.print()
    screen.rule(f"question {done + 1:,} of {counts.questions:,}", style="dim")
    for turn in pair.prompt:
        screen.print(_text(f"{turn['role']}: ", "dim"), _text(turn["content"]), sep="", soft_wrap=False)
    screen.print()
    screen.print(_answers(pair, screen.width), soft_wrap=False)
    say(KEY_HELP)


def _answers(pair: "Pair", width: int) -> Any:
    """Two columns where there is room, else one answer under the other."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table

    panels = []
    for name, answer, is_cut in zip(("1 left", "2 right"), (pair.left, pair.right), pair.is_cut, strict=True):
        subtitle = "cut at its greatest length" if is_cut else None
        panels.append(Panel(_text(answer), title=name, subtitle=subtitle, title_align="left"))
    if width < LEAST_WIDTH_FOR_COLUMNS:
        return Group(*panels)
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    table.add_row(*panels)
    return table


def _text(text: str, style: str = "") -> Any:
    """Words as they are: no markup is read in them."""
    from rich.text import Text

    return Text(printable(text), style=style, overflow="fold")


@contextlib.contextmanager
def _single_keys() -> "Iterator[Any]":
    """Keys without Enter and without echo while inside; gives a function that waits for one and names what it asks
    for (None: nothing). Keys that were pressed before the question was there do not count."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def read_key() -> str | None:
        while not select.select([descriptor], [], [], POLL_SECONDS)[0]:
            pass  # a Ctrl+C that came just before waiting began is heard when it ends
        key = os.read(descriptor, 1)
        while key.startswith(b"\x1b") and len(key) < 3 and select.select([descriptor], [], [], ESCAPE_SECONDS)[0]:
            key += os.read(descriptor, 1)
        return KEYS.get(key.lower() if len(key) == 1 else key)

    def read_new_key() -> str | None:
        termios.tcflush(descriptor, termios.TCIFLUSH)
        return read_key()

    try:
        tty.setcbreak(descriptor)
        yield read_new_key
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
