"""From a matplotlib figure to SVG that is part of the page.

matplotlib lays it out; then every colour becomes a class of the page's own style sheet (`fill-ink`,
`stroke-accent` …) and every other style a plain attribute. So a chart follows dark and light mode, takes the
page's font, needs no `style=` (the content security policy forbids it), and is the same bytes for the same
numbers.
"""

import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, MUTED, GRID, ACCENT, PAPER = "#010101", "#020202", "#030303", "#040404", "#050505"
GOOD, BAD, SOME = "#060606", "#070707", "#080808"
CLASSES = {
    INK: "ink", MUTED: "muted", GRID: "grid", ACCENT: "accent", PAPER: "paper", GOOD: "good", BAD: "bad", SOME: "some",
}  # fmt: skip


@contextmanager
def drawing(name: str, width: float, height: float) -> Iterator[Figure]:
    """A bare figure of `width` x `height` CSS pixels, whatever the user's own matplotlib settings are.

    Text stays text (a `$` in a path's name is no mathematics) and ids depend on `name` and the drawing alone.
    """
    settings = {key: value for key, value in matplotlib.rcParamsDefault.items() if "backend" not in key}
    settings |= {"svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        figure.patch.set_visible(False)
        yield figure


def inline(figure: Figure, name: str, title: str, description: str) -> str:
    """Draw `figure` as an `<svg>` element without styles, namespaces, dates or ids that two charts share."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    values = [value for node in root.iter() for value in node.attrib.values()]
    kept = {value.split("#")[-1].rstrip(")") for value in values if "#" in value}
    for node in list(root.iter()):
        for child in [child for child in node if child.tag.rpartition("}")[2] in ("metadata", "style")]:
            node.remove(child)
    for node in root.iter():
        _plain_attributes(node, kept)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib.update({"role": "img", "aria-labelledby": f"{name}-title {name}-words"})
    spoken = (("title", "title", title), ("desc", "words", description))
    for position, (tag, suffix, text) in enumerate(spoken):
        child = ElementTree.Element(tag, {"id": f"{name}-{suffix}"})
        child.text = text
        root.insert(position, child)
    return ElementTree.tostring(root, encoding="unicode")


def _plain_attributes(node: ElementTree.Element, kept: set[str]) -> None:
    node.tag = node.tag.rpartition("}")[2]
    attributes = {key.rpartition("}")[2]: value for key, value in node.attrib.items()}
    if attributes.get("id") not in kept:
        attributes.pop("id", None)
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    classes = []
    for declaration in filter(None, (part.strip() for part in attributes.pop("style", "").split(";"))):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if value in CLASSES:
            classes.append(f"{key}-{CLASSES[value]}")
        elif key == "font":
            weight = value.split()[0]
            attributes["font-size"] = next(word for word in value.split() if word.endswith("px"))
            if not weight.endswith("px"):
                attributes["font-weight"] = weight
        elif key != "font-family":
            attributes[key] = value
    if classes:
        attributes["class"] = " ".join(classes)
    node.attrib.clear()
    node.attrib.update(attributes)
