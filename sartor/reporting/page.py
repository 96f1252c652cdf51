"""A page that is one file: its own style, charts inside, no script, and nothing that it could load."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render_page(template: Path, values: Mapping[str, Any]) -> str:
    """`template` filled with `values`; it extends `page.html.jinja`, the frame that all pages share.

    Every value is escaped unless the template calls it `safe`, which only our own charts are. The same values give
    the same text. A value that the template uses and that is not given is an error.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["csp_hash"] = _csp_hash
    return environment.get_template(template.name).render(values)


def page_bytes(text: str) -> bytes:
    """The page as UTF-8; half of a surrogate pair, which UTF-8 cannot hold, as an escape that can be seen."""
    return text.encode("utf-8", errors="backslashreplace")


def _csp_hash(text: str) -> str:
    """The source expression that allows exactly this inline style (CSP level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(str(text).encode()).digest()).decode()}'"
