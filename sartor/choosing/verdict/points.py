"""Shares of 1 as people read them."""


def points(share: float) -> str:
    """`2 points`, `1 point`, `1.5 points`: a share in points of 100, not rounded, for it is what people asked for."""
    return f"{100 * share:g} point{'' if share == 0.01 else 's'}"
