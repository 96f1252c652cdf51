"""Documents to chunks: cut where the text itself has joints, with exact character offsets.

Sections (Markdown headings; in source code functions and classes) are kept apart, what is too long is cut at the
strongest joint near an even division: paragraph, line, sentence, word, character. The headings above a chunk travel
as its title, which is embedded, searched and shown with it. Chunks do not overlap.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from os.path import commonprefix

from sartor.retrieval.code_sections import code_starts

TARGET_TOKENS = 200
MAX_TOKENS = 256
VERSION = 2
"""Changes whenever the same document would be cut differently: stored with it, so that it is indexed anew."""

HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?(?:[ \t]*\{[ \t]*[#.][^{}]*\})?[ \t]*$")
"""A heading's marks and words; an attribute list behind it (`{ #name }`) is none of them."""
FENCE = re.compile(r" {0,3}(```|~~~)")
JOINTS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\n[ \t]*\n\s*",
        r"\n",
        r"""(?<=[.!?])["')\]]*\s+|(?<=[。！？])""",
        r"\s+",
    )
)
CODE_JOINTS = (re.compile(r"\n[ \t]*\n+(?=[ \t]*\S)"), re.compile(r"\n"), re.compile(r"\s+"))
REACH = 0.3
"""How far from an even division a joint is looked for, in pieces."""

CHARACTERS_WORTH_COUNTING = 4_000
"""Longer texts are cut by a guess of four characters a token, and only their parts are counted."""


@dataclass(frozen=True)
class Chunk:
    """`text` is exactly `document.text[start:end]`; `title` is the document's and the headings above."""

    start: int
    end: int
    text: str
    title: str

    @property
    def embedded(self) -> str:
        """What is embedded for this chunk."""
        return titled(self.title, self.text)


def titled(title: str, text: str) -> str:
    """A text under its title."""
    return f"{title}\n{text}" if title else text


@dataclass(frozen=True)
class Section:
    """`text[start:body]` is the heading (empty for the beginning), `text[body:end]` what stands below it."""

    start: int
    body: int
    end: int
    path: tuple[str, ...]


def chunk_text(
    text: str,
    title: str,
    count_tokens: Callable[[str], int],
    target_tokens: int = TARGET_TOKENS,
    max_tokens: int = MAX_TOKENS,
    is_code: bool = False,
) -> list[Chunk]:
    """The chunks of one document, in order: every character but blanks is in exactly one of them or in its
    title.

    `count_tokens` counts as the embedder does; no chunk with its title takes more than `max_tokens`, and long
    texts give chunks near `target_tokens`. A document that fits is one chunk. Only a title of more than a
    quarter of `max_tokens` is shortened. `is_code` cuts along functions and classes instead of headings, for in source
    code `#` begins a comment.
    """
    return list(_Chunker(text, title, count_tokens, target_tokens, max_tokens, is_code).chunks())


def sections_of(text: str) -> list[Section]:
    """The sections of a text by its Markdown headings; `#` inside a fenced code block is no heading."""
    starts: list[tuple[int, int, tuple[str, ...]]] = [(0, 0, ())]
    levels: list[tuple[int, str]] = []
    position, fence = 0, ""
    for line in text.splitlines(keepends=True):
        marks = FENCE.match(line)
        if marks and fence in ("", marks[1]):
            fence = "" if fence else marks[1]
        heading = None if fence else HEADING.match(line.rstrip())
        if heading and heading[2]:
            levels = [(level, name) for level, name in levels if level < len(heading[1])]
            levels.append((len(heading[1]), heading[2]))
            starts.append((position, position + len(line), tuple(name for _, name in levels)))
        position += len(line)
    ends = [start for start, _, _ in starts[1:]] + [len(text)]
    return [Section(start, body, end, path) for (start, body, path), end in zip(starts, ends, strict=True)]


def code_sections_of(text: str) -> list[Section]:
    """The outermost parts of source code; a section is named by its definition, whose line stays in its text."""
    starts = code_starts(text) or [(0, "")]
    starts[0] = (0, starts[0][1])
    ends = [start for start, _ in starts[1:]] + [len(text)]
    return [
        Section(start, start, end, (name,) if name else ()) for (start, name), end in zip(starts, ends, strict=True)
    ]


class _Chunker:
    def __init__(
        self, text: str, title: str, count_tokens: Callable[[str], int], target: int, maximum: int, is_code: bool
    ):
        self.text, self.title, self.count_tokens = text, title, count_tokens
        self.sections_of, self.joints = (code_sections_of, CODE_JOINTS) if is_code else (sections_of, JOINTS)
        self.target, self.maximum, self.small = target, maximum, target // 4

    def chunks(self) -> Iterator[Chunk]:
        for group in self._groups():
            first, end = group[0], group[-1].end
            path = tuple(commonprefix([section.path for section in group]))
            title = self._context(path)
            named = path == first.path and title.endswith(" > ".join(path))
            start = first.body if named and self.text[first.body : end].strip() else first.start
            yield from self._split(start, end, title)

    def _groups(self) -> list[list[Section]]:
        """Sections that share a chunk: all when the document fits, else small ones with what follows."""
        sections = self._sections()
        if not sections:
            return []
        if self._size(sections) <= self.maximum:
            return [sections]
        groups = [[sections[0]]]
        for section in sections[1:]:
            if self._size(groups[-1]) < self.small and self._size([*groups[-1], section]) <= self.target:
                groups[-1].append(section)
            else:
                groups.append([section])
        if len(groups) > 1 and self._size(groups[-1]) < self.small:
            last = groups.pop()
            groups += [[*groups.pop(), *last]] if self._size([*groups[-1], *last]) <= self.target else [last]
        return groups

    def _sections(self) -> list[Section]:
        """Without a blank beginning; headings directly above a subheading belong to the section of that."""
        sections: list[Section] = []
        for section in self.sections_of(self.text):
            before = sections[-1] if sections else None
            if before and not self._below(before) and section.path[: len(before.path)] == before.path:
                sections.pop()
                section = replace(section, start=before.start)
            sections.append(section)
        return sections if sections[0].path or self._below(sections[0]) else sections[1:]

    def _below(self, section: Section) -> str:
        """What stands below the heading, blanks aside."""
        return self.text[section.body : section.end].strip()

    def _size(self, group: list[Section]) -> int:
        return self._tokens(group[0].start, group[-1].end, self.title)

    def _tokens(self, start: int, end: int, title: str) -> int:
        if end - start > CHARACTERS_WORTH_COUNTING:
            return max((end - start) // 4, 2 * self.maximum)
        return self.count_tokens(titled(title, self.text[start:end]))

    def _context(self, path: tuple[str, ...]) -> str:
        """`Title > Heading > Subheading`, at most a quarter of what fits; the outermost names go first."""
        names = [name for name in (self.title, *path) if name]
        names = [name for index, name in enumerate(names) if index == 0 or name != names[index - 1]]
        limit = self.maximum // 4
        while len(names) > 1 and self.count_tokens(" > ".join(names)) > limit:
            names.pop(0)
        context = " > ".join(names)
        while context and self.count_tokens(context) > limit:
            context = context[: len(context) // 2].rstrip()
        return context

    def _split(self, start: int, end: int, title: str) -> Iterator[Chunk]:
        """The chunks of `text[start:end]`, halved as evenly as `target` allows until every part fits."""
        while start < end and self.text[start].isspace():
            start += 1
        while end > start and self.text[end - 1].isspace():
            end -= 1
        if start == end:
            return
        tokens = self._tokens(start, end, title)
        if tokens <= self.maximum or end - start == 1:
            yield Chunk(start, end, self.text[start:end], title)
            return
        pieces = max(2, -(-tokens // self.target))
        cut = self._cut(start, end, pieces)
        yield from self._split(start, cut, title)
        yield from self._split(cut, end, title)

    def _cut(self, start: int, end: int, pieces: int) -> int:
        """The strongest joint near half of the pieces."""
        length = (end - start) / pieces
        goal = min(max(start + round(length * ((pieces + 1) // 2)), start + 1), end - 1)
        low, high = max(start + 1, round(goal - REACH * length)), min(end - 1, round(goal + REACH * length))
        for joint in self.joints:
            cuts = [match.end() for match in joint.finditer(self.text, low, high)]
            if cuts:
                return min(cuts, key=lambda cut: abs(cut - goal))
        return goal
