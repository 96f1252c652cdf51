"""Errors that a person can act on: what happened, where, and what to do about it.

Only these are shown as one line; every other exception is a bug and keeps its traceback.
"""


class SartorError(Exception):
    """The work failed for a reason that can be named (exit code 1).

    `where` is the place in the user's own input (`file:line, field`), `hint` what to do next.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None):
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}\nhint: {self.hint}" if self.hint else line


class UsageError(SartorError):
    """A wrong command, option or configuration."""

    exit_code = 2


class DataError(SartorError):
    """Rows, documents or files that cannot be used as they are."""

    exit_code = 3


class QualityError(SartorError):
    """A check or quality gate was not met."""

    exit_code = 4


class Interrupted(SartorError):
    """Stopped on request; the same command goes on from where it was."""

    exit_code = 75
