"""The main text of web pages: what a reader came for, without menus, footers, banners and scripts.

Resiliparse's heuristics (Bevendorff et al. 2018, 10.1007/978-3-319-76941-7_83) find it. On the pages that were read
side by side they kept paragraphs that trafilatura drops, in a third of the time. What they would lose is marked up
first: headings become Markdown headings, code gets fences, a table's row and a plain list's item become a line each.
"""

import re
from collections.abc import Iterator, Set
from typing import Any

import pyarrow as pa
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree, NodeType

from sartor.data.documents import TEXT
from sartor.data.filters.edits import replace_rows, replace_texts
from sartor.data.filters.step import Outcome

Node = Any  # an element; the library's own annotations hold everything for optional

HTML = ("text/html", "application/xhtml+xml")
FENCE = "```"
HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
OPAQUE = HEADINGS | {"pre", "script", "style", "svg"}
BLOCKS = HEADINGS | {"p", "div", "ul", "ol", "table", "pre"}
MANY_BLANK_LINES = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")
HEADING = re.compile(r"#{1,6} ")
MAX_DEPTH = 500  # of nested elements; real pages have some dozens


class MainText:
    """Step: turns documents of media type text/html into text/plain.

    A document gets the page's title where it has none. Reasons: `no_main_text` where nothing is left, `bad_html` where
    the page cannot be parsed or nests deeper than any real one. Documents of other media types stay as they are.
    """

    name = "main_text"

    def __call__(self, documents: pa.Table) -> Outcome:
        reasons: list[str | None] = [None] * documents.num_rows
        texts: dict[int, str] = {}
        titles: dict[int, str | None] = {}
        for row, media_type in enumerate(documents["media_type"].to_pylist()):
            if media_type.partition(";")[0].strip().lower() not in HTML:
                continue
            try:
                title, text = main_text(documents["text"][row].as_py())
            except ValueError:
                reasons[row] = "bad_html"
                continue
            if not text:
                reasons[row] = "no_main_text"
                continue
            texts[row] = text
            if title and not documents["title"][row].as_py():
                titles[row] = title
        extracted = replace_rows(replace_texts(documents, texts), "title", titles)
        plain = replace_rows(extracted, "media_type", dict.fromkeys(texts, "text/plain"))
        return Outcome(plain, pa.array(reasons, TEXT), {"main texts extracted": len(texts)})


def main_text(html: str) -> tuple[str, str]:
    """The page's title ("" where it has none) and its main text. ValueError where it cannot be parsed."""
    tree = HTMLTree.parse(html.replace("\0", ""))
    if tree.body is None:
        return "", ""
    title = " ".join((tree.title or "").split())
    for element in _elements(tree.body, {*HEADINGS, "pre", "tr", "ul"}):
        if element.tag == "pre":
            _mark_code(element)
        elif element.tag == "tr":
            _mark_row(element)
        elif element.tag == "ul":
            _mark_list(tree, element)
        else:
            _mark_heading(element)
    text = str(extract_plain_text(tree, main_content=True, alt_texts=False))
    return title, _without_last_headings(MANY_BLANK_LINES.sub("\n\n", text)).strip()


def _without_last_headings(text: str) -> str:
    """Without headings that nothing follows."""
    lines = text.split("\n")
    while lines and (not lines[-1].strip() or HEADING.match(lines[-1])):
        lines.pop()
    return "\n".join(lines)


def _mark_heading(heading: Node) -> None:
    words = " ".join(heading.text.split())
    heading.text = f"{'#' * int(heading.tag[1])} {words}" if words else ""


def _mark_code(block: Node) -> None:
    code = block.text.strip("\n")
    if code.strip():
        block.text = f"{FENCE}\n{code}\n{FENCE}"


def _mark_row(row: Node) -> None:
    """The cells of a table of data in one line. A table that lays out a page holds blocks, and stays as it is."""
    cells = [child for child in _children(row) if child.tag in ("td", "th")]
    if len(cells) > 1 and next(_elements(row, BLOCKS), None) is None:
        cells[0].text = " | ".join(" ".join(cell.text.split()) for cell in cells)
        for cell in cells[1:]:
            row.remove_child(cell)


def _mark_list(tree: Node, items: Node) -> None:
    """A list of plain items as lines with bullets; the heuristics take such a list for a menu. Menus are of links."""
    if next(_elements(items, BLOCKS), None) is not None:  # first, so that no text is read again for each list around it
        return
    texts = [" ".join(child.text.split()) for child in _children(items) if child.tag == "li"]
    linked = sum(len(" ".join(link.text.split())) for link in _elements(items, {"a"}))
    if 2 * linked > sum(map(len, texts)):
        return
    lines = tree.create_element("div")
    for text in filter(None, texts):
        line = tree.create_element("div")
        line.text = f"• {text}"
        lines.append_child(line)
    items.parent.replace_child(lines, items)


def _elements(root: Node, tags: Set[str]) -> Iterator[Node]:
    """The elements below `root` with these tags; what is inside a heading or code is not looked at.

    They may be changed as they come. Not by the library's own selectors: their results take milliseconds an element.
    """
    stack = [iter(_children(root))]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
            continue
        if len(stack) > MAX_DEPTH:
            raise ValueError("the page nests too deeply")
        if child.tag not in OPAQUE:
            stack.append(iter(_children(child)))
        if child.tag in tags:
            yield child


def _children(node: Node) -> list[Node]:
    children = []
    child = node.first_child
    while child is not None:
        if child.type == NodeType.ELEMENT:
            children.append(child)
        child = child.next
    return children
