"""The folder that a command is to write into."""

import errno
import os
from pathlib import Path

from sartor.base.durable import write_error
from sartor.base.run_folder import require_folder_place


def make_out_folder(path: Path) -> None:
    """Make `path` and those above it, if need be. UsageError when a file is in the way, SartorError when the folder
    cannot be made or written to."""
    require_folder_place(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise write_error(error, path, 0) from error
