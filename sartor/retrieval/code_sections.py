"""Source code to sections along functions and classes, for every language: by blank lines and indentation alone."""

import re

DEFINITION = re.compile(
    r"(?:(?:export|default|public|private|protected|internal|static|final|abstract|sealed|async|unsafe|pub(?:\([^)]*\))?"
    r"|extern|inline|virtual|override|open|data|partial)\s+)*"
    r"(?:def|class|func|fn|function|interface|struct|enum|trait|impl|module|namespace|object|protocol|macro_rules!|type)\b"
)
"""The beginning of what most languages call a function, a class or the like."""

CONTINUES = re.compile(r"[)\]}]|(?:end|else|elif|elseif|except|finally|catch|then|fi|done|esac)\b")
"""A line that begins so goes on with the block above it."""

LONGEST_NAME = 80


def code_starts(text: str) -> list[tuple[int, str]]:
    """Where each part of the outermost level begins, and the line that names it ("" where it is no definition).

    A part begins with an unindented line after a blank one; comments and decorators directly above a definition belong
    to it.
    """
    starts: list[tuple[int, str]] = []
    position, after_blank = 0, True
    is_open = False  # nothing but comments or decorators stands in the part so far
    for line in text.splitlines(keepends=True):
        is_blank, outermost = not line.strip(), not line[:1].isspace()
        if not is_blank and outermost and not CONTINUES.match(line):
            if after_blank or not starts:
                starts.append((position, ""))
                is_open = True
            if is_open and DEFINITION.match(line):
                starts[-1] = (starts[-1][0], line.strip().rstrip("{:").rstrip()[:LONGEST_NAME])
            is_open = is_open and line.startswith(("#", "//", "/*", " *", "*", "--", "@", ";", '"""'))
        position, after_blank = position + len(line), is_blank
    return starts
