"""What is done with each kind of personal data, and the stand-ins that can take its place."""

import hashlib
from collections.abc import Callable, Mapping
from enum import StrEnum

from sartor.base.configuration import nearest
from sartor.base.errors import UsageError
from sartor.data.filters.personal_data.kinds import DETECTORS, KINDS


class Policy(StrEnum):
    """keep: not even looked for. tag: replaced by its kind, `<EMAIL_ADDRESS>`. fake: replaced by a stand-in, the same
    for the same value. drop: the whole document goes."""

    KEEP = "keep"
    TAG = "tag"
    FAKE = "fake"
    DROP = "drop"


DEFAULT_POLICIES = {detector.kind: Policy.TAG if detector.checkable else Policy.KEEP for detector in DETECTORS}
"""What shape or checksum alone tell is replaced by a tag; what only the words around it tell is kept."""


def checked_policies(given: Mapping[str, str]) -> dict[str, Policy]:
    """The defaults, overridden by what is given. UsageError for an unknown kind or policy."""
    for kind, policy in given.items():
        if kind not in KINDS:
            raise UsageError(f"no such kind of personal data: {kind!r}", hint=_hint(kind, KINDS))
        if policy not in list(Policy):
            raise UsageError(f"no such policy for {kind}: {policy!r}", hint=_hint(policy, list(Policy)))
        if policy == Policy.FAKE and kind not in STAND_INS:
            raise UsageError(
                f"there is no stand-in for {kind}", hint=f"use tag; fakes exist for {', '.join(STAND_INS)}"
            )
    return DEFAULT_POLICIES | {kind: Policy(policy) for kind, policy in given.items()}


def stand_in(kind: str, value: str, salt: str) -> str:
    """Something of the same kind that is nobody's, chosen by a keyed hash of the value.

    The same value and salt give the same stand-in. Detectors do not take stand-ins for real.
    """
    key = hashlib.blake2b(salt.encode(), digest_size=32).digest()
    return STAND_INS[kind](int.from_bytes(hashlib.blake2b(value.encode(), key=key, digest_size=8).digest()))


def _email_address(number: int) -> str:
    return f"person-{number % 10**8:08}@example.com"


def _phone_number(number: int) -> str:
    return f"+1 {200 + number // 100 % 800} 555 01{number % 100:02}"


def _ip_address(number: int) -> str:
    network = ("192.0.2", "198.51.100", "203.0.113")[number % 3]  # kept for documentation, RFC 5737
    return f"{network}.{number // 3 % 256}"


def _us_ssn(number: int) -> str:
    return f"000-{number % 99 + 1:02}-{number // 99 % 9999 + 1:04}"  # no number begins with 000


STAND_INS: dict[str, Callable[[int], str]] = {
    "email_address": _email_address,
    "phone_number": _phone_number,
    "ip_address": _ip_address,
    "us_ssn": _us_ssn,
}


def _hint(name: str, known: Mapping[str, object] | list[Policy]) -> str:
    near = nearest(name, known)
    return f"did you mean {near}?" if near else f"one of {', '.join(known)}"
