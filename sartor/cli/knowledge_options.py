"""Arguments that the verbs for knowledge share: which knowledge, and which of its documents."""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sartor.data.extract import Scalar

POSTGRES = ("postgresql://", "postgres://")


def knowledge_place(text: str) -> str | Path:
    """The `type` of an argument that names knowledge: a file, or the address of a PostgreSQL database as it is."""
    return text if text.startswith(POSTGRES) else Path(text)


def shown_place(place: str | Path) -> str:
    """The name as it may be printed: an address without its password."""
    text = str(place)
    if not text.startswith(POSTGRES):
        return text
    text = re.sub(r"//([^/?#@:]*):[^/?#]*@", r"//\1@", text)
    return re.sub(r"(?i)([?&](?:\w*password|passfile|sslkey)=)[^&#]*", r"\1…", text)


def add_where(parser: argparse.ArgumentParser) -> None:
    """`--where FIELD=VALUE`, as often as one likes; `where_of` reads it."""
    parser.add_argument(
        "--where",
        type=_pair,
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="only documents with this metadata, like type=markdown; a field given twice may have either value",
    )


def where_of(args: argparse.Namespace) -> "dict[str, list[Scalar]] | None":
    """The filter; None where none was given. What reads as a number or as true or false matches that and its text."""
    where: dict[str, list[Scalar]] = {}
    for field, value in args.where:
        where.setdefault(field, []).extend(_meanings(value))
    return where or None


def _pair(text: str) -> tuple[str, str]:
    field, equals, value = text.partition("=")
    if not field.strip() or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE")
    return field.strip(), value


def _meanings(value: str) -> "Sequence[Scalar]":
    try:
        meant = json.loads(value)
    except ValueError:
        return [value]
    return [value, meant] if isinstance(meant, bool | int | float) else [value]
