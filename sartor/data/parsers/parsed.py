"""What a parser makes of one file."""

from dataclasses import dataclass, field

Scalar = str | int | float | bool


@dataclass(frozen=True)
class Parsed:
    """The title ("" where the file has none), the text, the licence as the file states it (None where it does not), and
    what the person should know about the reading ("no text on page 2 of 3"). `metadata` is what else the file says of
    itself in single values."""

    title: str
    text: str
    licence: str | None = None
    notices: tuple[str, ...] = ()
    metadata: dict[str, Scalar] = field(default_factory=dict)


class Unreadable(Exception):
    """A file that is not what its type says, or that would take more than it may: what is wrong, and what to do."""

    def __init__(self, what: str, hint: str):
        super().__init__(what)
        self.what, self.hint = what, hint


def tidy(text: str) -> str:
    """Line ends as `\\n`, nothing blank around."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
