"""The kinds of file that hold one document, by the end of their name: media type, and the parser of each."""

from collections.abc import Callable
from pathlib import PurePath

from sartor.data.parsers.docx import parse_docx
from sartor.data.parsers.epub import parse_epub
from sartor.data.parsers.html import parse_page
from sartor.data.parsers.markdown import parse_markdown
from sartor.data.parsers.parsed import Parsed
from sartor.data.parsers.pdf import parse_pdf
from sartor.data.parsers.plain import parse_plain
from sartor.data.parsers.pptx import parse_pptx
from sartor.data.parsers.table import parse_commas, parse_tabs
from sartor.data.parsers.xlsx import parse_xlsx

PLAIN, MARKDOWN, HTML = "text/plain", "text/markdown", "text/html"
PDF, EPUB = "application/pdf", "application/epub+zip"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
COMMAS, TABS = "text/csv", "text/tab-separated-values"

PARSERS: dict[str, Callable[[bytes], Parsed]] = {
    MARKDOWN: parse_markdown,
    HTML: parse_page,
    PDF: parse_pdf,
    DOCX: parse_docx,
    PPTX: parse_pptx,
    XLSX: parse_xlsx,
    EPUB: parse_epub,
    COMMAS: parse_commas,
    TABS: parse_tabs,
}
"""By media type; everything else that is text is taken as it is (`parse_plain`)."""

COMPLEX = frozenset({PDF, DOCX, PPTX, XLSX, EPUB})
"""Formats whose parsing takes a process of its own when files come from strangers (`isolated.py`)."""

MEDIA_TYPES = {
    ".txt": PLAIN, ".text": PLAIN, ".rst": "text/x-rst", ".tex": "text/x-tex", ".org": "text/x-org",
    ".md": MARKDOWN, ".markdown": MARKDOWN,
    ".html": HTML, ".htm": HTML, ".xhtml": HTML,
    ".pdf": PDF, ".docx": DOCX, ".pptx": PPTX, ".xlsx": XLSX, ".epub": EPUB, ".csv": COMMAS, ".tsv": TABS,
    ".py": "text/x-python", ".pyi": "text/x-python", ".c": "text/x-c", ".h": "text/x-c", ".cc": "text/x-c++",
    ".cpp": "text/x-c++", ".cxx": "text/x-c++", ".hpp": "text/x-c++", ".cu": "text/x-cuda", ".cs": "text/x-csharp",
    ".java": "text/x-java", ".kt": "text/x-kotlin", ".scala": "text/x-scala", ".go": "text/x-go",
    ".rs": "text/x-rust", ".swift": "text/x-swift", ".js": "text/javascript", ".mjs": "text/javascript",
    ".jsx": "text/javascript", ".ts": "text/x-typescript", ".tsx": "text/x-typescript", ".rb": "text/x-ruby",
    ".php": "text/x-php", ".pl": "text/x-perl", ".lua": "text/x-lua", ".r": "text/x-r", ".jl": "text/x-julia",
    ".hs": "text/x-haskell", ".ml": "text/x-ocaml", ".ex": "text/x-elixir", ".erl": "text/x-erlang",
    ".clj": "text/x-clojure", ".dart": "text/x-dart", ".zig": "text/x-zig", ".nim": "text/x-nim",
    ".f90": "text/x-fortran",
    ".asm": "text/x-asm", ".s": "text/x-asm", ".sql": "text/x-sql", ".sh": "text/x-sh", ".bash": "text/x-sh",
    ".ps1": "text/x-powershell", ".css": "text/css", ".scss": "text/x-scss", ".vue": "text/x-vue",
    ".yaml": "text/x-yaml", ".yml": "text/x-yaml", ".toml": "text/x-toml", ".ini": "text/x-ini",
    ".cmake": "text/x-cmake",
}  # fmt: skip
NAMES = {"makefile": "text/x-makefile", "dockerfile": "text/x-dockerfile", "readme": PLAIN, "license": PLAIN}
"""Whole names of files that have no end."""

READABLE = "text, Markdown, HTML, PDF, Word, PowerPoint, Excel, EPUB, source code, JSONL, JSON, CSV, TSV, Parquet"
"""What files may be, in words for people."""

KINDS = {
    PLAIN: "text", MARKDOWN: "markdown", HTML: "html", PDF: "pdf", DOCX: "docx", PPTX: "pptx", XLSX: "xlsx",
    EPUB: "epub", COMMAS: "csv", TABS: "tsv", "text/x-rst": "rst", "text/x-tex": "tex", "text/x-org": "org",
}  # fmt: skip
CODE = "code"

TEXT_APPLICATIONS = {
    "application/xhtml+xml": HTML, "application/javascript": "text/javascript", "application/x-sh": "text/x-sh",
    "application/x-yaml": "text/x-yaml", "application/toml": "text/x-toml",
}  # fmt: skip


def media_type_of(name: str) -> str | None:
    """By the file's name; None for what is no document."""
    path = PurePath(name.lower())
    return MEDIA_TYPES.get(path.suffix) or NAMES.get(path.name)


def kind_of(media_type: str) -> tuple[str, str]:
    """A short word for people, and for source code (`code`) its language, else ""."""
    if media_type in KINDS:
        return KINDS[media_type], ""
    return CODE, media_type.removeprefix("text/").removeprefix("x-")


def readable_type(content_type: str) -> str | None:
    """The media type of what a server sends, without parameters; None for what is no document."""
    name = content_type.partition(";")[0].strip().lower()
    name = TEXT_APPLICATIONS.get(name, name)
    return name if name in PARSERS or name.startswith("text/") else None


def parse(media_type: str, data: bytes) -> Parsed:
    """Unreadable for what is not of this type."""
    return PARSERS.get(media_type, parse_plain)(data)
