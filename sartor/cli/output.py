"""What goes to stdout."""

import json
from typing import Any


def print_json(value: Any) -> None:
    """One JSON document; NaN is refused, because JSON has none."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
