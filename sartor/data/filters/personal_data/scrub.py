"""The step that scrubs personal data: found, then kept, replaced, or a reason to drop the document."""

import json
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sartor.data.documents import TEXT
from sartor.data.filters.edits import replace_rows, replace_texts
from sartor.data.filters.personal_data.detector import UNBROKEN, Detector, Span, plain
from sartor.data.filters.personal_data.kinds import DETECTORS, KINDS
from sartor.data.filters.personal_data.policy import Policy, checked_policies, stand_in
from sartor.data.filters.personal_data.secrets import API_KEY
from sartor.data.filters.step import Outcome

REASON = "personal_data_{kind}"
COUNT = "{kind} replaced"
MAX_ROUNDS = 100  # more numbers than that, written without a space between, are no numbers of people
Edit = Callable[[str, Sequence[Detector]], str]


@dataclass(frozen=True)
class Finding:
    """A stretch of text and the kind of personal data it is. It does not hold the text itself."""

    start: int
    end: int
    kind: str


def find_personal_data(text: str, detectors: Sequence[Detector] = DETECTORS) -> list[Finding]:
    """What the detectors find, by place. Where two overlap, the one named first has it."""
    taken: list[tuple[int, int, str]] = []
    text = plain(text)
    for detector in detectors:
        for start, end in detector.find(text):
            if _is_free(taken, (start, end)):
                insort(taken, (start, end, detector.kind))
    return [Finding(start, end, kind) for start, end, kind in taken]


@dataclass(frozen=True)
class PersonalData:
    """Step: does with each kind what `policies` say (kind to `keep`, `tag`, `fake` or `drop`; the rest by default).

    Text, title and the texts in the metadata are scrubbed; `id` and `source`, by which the document is known, are not.
    Nothing but the found spans changes. Reasons are `personal_data_KIND`, counts `KIND replaced`; neither they nor
    anything else that leaves this step holds what was found. `salt` makes the stand-ins of two data sets differ.
    """

    policies: Mapping[str, str] = field(default_factory=dict)
    salt: str = "sartor"

    def __post_init__(self) -> None:
        checked_policies(self.policies)

    @property
    def name(self) -> str:
        return "personal_data"

    def __call__(self, documents: pa.Table) -> Outcome:
        scrubber = _Scrubber(checked_policies(self.policies), self.salt, documents.num_rows)
        texts = scrubber.column(documents["text"], scrubber.edit)
        titles = scrubber.column(documents["title"], scrubber.edit)
        metadata = scrubber.column(documents["metadata"], scrubber.edit_json, _texts_inside(documents["metadata"]))
        scrubbed = replace_rows(replace_texts(documents, texts), "title", titles)
        return Outcome(replace_rows(scrubbed, "metadata", metadata), scrubber.drop_reasons(), dict(scrubber.counts))


class _Scrubber:
    """What is found and done in one table."""

    def __init__(self, policies: Mapping[str, Policy], salt: str, num_rows: int):
        self.policies = policies
        self.salt = salt
        self.detectors = [detector for detector in DETECTORS if policies[detector.kind] != Policy.KEEP]
        self.counts: Counter[str] = Counter()
        self.reasons: list[str | None] = [None] * num_rows
        self._row = 0

    def column(
        self, texts: pa.ChunkedArray, edit: Edit, searched: pa.ChunkedArray | None = None
    ) -> dict[int, str]:
        """The rows that change, each edited with the detectors whose hint its text, or what is `searched` in its
        place, matches."""
        candidates: dict[int, list[Detector]] = {}
        searched = _plain_column(texts if searched is None else searched)
        for detector in self.detectors:
            matches = pc.fill_null(pc.match_substring_regex(searched, detector.hint), False)
            for row in pc.indices_nonzero(matches).to_pylist():
                candidates.setdefault(row, []).append(detector)
        edited: dict[int, str] = {}
        for row, detectors in candidates.items():
            self._row = row
            before = texts[row].as_py()
            after = edit(before, detectors)
            if after != before:
                edited[row] = after
        return edited

    def edit(self, text: str, detectors: Sequence[Detector]) -> str:
        """The text without what was found. It goes from documents that are dropped too: rejects are kept and read.

        A replacement may uncover what stood close against it, so what was edited is searched again.
        """
        return self._edit_between("", text, "", detectors)

    def _edit_between(self, before: str, text: str, behind: str, detectors: Sequence[Detector]) -> str:
        """The text without what is found in it where it stands between two others."""
        for _ in range(MAX_ROUNDS):
            shift, end = len(before), len(before) + len(text)
            findings = [
                Finding(each.start - shift, each.end - shift, each.kind)
                for each in find_personal_data(f"{before}{text}{behind}", detectors)
                if each.start >= shift and each.end <= end
            ]
            if not findings:
                break
            text = self._replaced(text, findings)
        return text

    def _replaced(self, text: str, findings: Sequence[Finding]) -> str:
        parts: list[str] = []
        place = 0
        for finding in findings:
            if self.policies[finding.kind] == Policy.DROP:
                self.reasons[self._row] = self.reasons[self._row] or REASON.format(kind=finding.kind)
            self.counts[COUNT.format(kind=finding.kind)] += 1
            parts += [text[place : finding.start], self._replacement(finding.kind, text[finding.start : finding.end])]
            place = finding.end
        return "".join([*parts, text[place:]])

    def edit_json(self, text: str, detectors: Sequence[Detector]) -> str:
        """A JSON document with its texts edited; names, numbers and everything else stay."""
        before = json.loads(text)
        after = self._edit_value(before, detectors)
        return text if after == before else json.dumps(after, ensure_ascii=False)

    def _edit_value(self, value: Any, detectors: Sequence[Detector]) -> Any:
        if isinstance(value, str):
            return self.edit(value, detectors)
        if isinstance(value, list):
            return [self._edit_value(item, detectors) for item in value]
        if isinstance(value, dict):
            return {key: self._edit_named(key, item, detectors) for key, item in value.items()}
        return value

    def _edit_named(self, name: str, value: Any, detectors: Sequence[Detector]) -> Any:
        """A value, and of a text also what its name tells: that it is a password."""
        edited = self._edit_value(value, detectors)
        if isinstance(value, str) and API_KEY in detectors:
            return self._edit_between(f'"{name}": "', edited, '"', [API_KEY])
        return edited

    def _replacement(self, kind: str, value: str) -> str:
        return stand_in(kind, value, self.salt) if self.policies[kind] == Policy.FAKE else KINDS[kind].tag

    def drop_reasons(self) -> pa.Array | None:
        return pa.array(self.reasons, TEXT) if Policy.DROP in self.policies.values() else None


def _plain_column(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as `plain` gives them."""
    if not pc.any(pc.match_substring_regex(texts, f"[{''.join(UNBROKEN)}]")).as_py():
        return texts
    for character, in_ascii in UNBROKEN.items():
        texts = pc.replace_substring(texts, character, in_ascii)
    return texts


def _texts_inside(documents: pa.ChunkedArray) -> pa.ChunkedArray:
    """For each JSON document the texts in it, as they read without JSON's escapes."""
    found = [_joined_texts(document) if document else None for document in documents.to_pylist()]
    return pa.chunked_array([pa.array(found, TEXT)])


def _joined_texts(document: str) -> str:
    return "\n".join(_texts(json.loads(document))).encode("utf-8", "replace").decode()  # JSON may write half of a pair


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from (f'"{name}": "{item}"',) if isinstance(item, str) else _texts(item)


def _is_free(taken: Sequence[tuple[int, int, str]], span: Span) -> bool:
    """Whether no accepted finding overlaps the span; `taken` is sorted and free of overlaps."""
    place = bisect_left(taken, (*span, ""))
    after = place < len(taken) and taken[place][0] < span[1]
    before = place > 0 and taken[place - 1][1] > span[0]
    return not after and not before
