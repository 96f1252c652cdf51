"""Which documents are of one source: the pages of a host, the files of a folder."""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

UNKNOWN = "(unknown)"


def source_group(source: str) -> str:
    """The host of a URL, the folder of a path."""
    if "://" in source[:16]:
        try:
            return urlsplit(source).hostname or UNKNOWN
        except ValueError:
            return UNKNOWN
    return str(PurePosixPath(source).parent)
