"""Made-up personal data and secrets, and texts to plant them in. Nothing here is anyone's.

Keys are put together from pieces, so that this file holds none that a scanner would take for real.
"""

import base64
import json
import random
import string

from sartor.data.filters.personal_data.checksums import luhn

SENTENCES = (
    "Please note {} for the next time.",
    "The old value was {}, as far as anyone knows.",
    "see ({}) below",
    "Größe: {} — naïve 日本語 text around it.",
    "{}",
    "first line\n{}\nlast line",
)


def characters(source: random.Random, alphabet: str, count: int) -> str:
    return "".join(source.choice(alphabet) for _ in range(count))


def card(source: random.Random) -> str:
    start = source.choice(["4", "51", "55"]) + characters(source, string.digits, 14)
    start = start[:15]
    return next(start + digit for digit in string.digits if luhn(start + digit))


def iban(source: random.Random) -> str:
    account = characters(source, string.digits, 18)
    check = 98 - int(account + "131400") % 97  # D = 13, E = 14
    return f"DE{check:02}{account}"


def token(source: random.Random) -> str:
    parts = [json.dumps({"alg": "HS256"}), json.dumps({"sub": characters(source, string.digits, 9)})]
    encoded = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, characters(source, string.ascii_letters + string.digits, 40)])


def private_key(source: random.Random) -> str:
    lines = [characters(source, string.ascii_letters + string.digits + "+/", 64) for _ in range(3)]
    kind = source.choice(["RSA ", "EC ", "OPENSSH ", ""])
    return "\n".join([f"-----BEGIN {kind}PRIVATE" + " KEY-----", *lines, f"-----END {kind}PRIVATE" + " KEY-----"])


def api_key(source: random.Random) -> str:
    alphanumeric = string.ascii_letters + string.digits
    return source.choice(
        [
            "AK" + "IA" + characters(source, string.ascii_uppercase + "234567", 15) + "7",
            "gh" + "p_" + characters(source, alphanumeric, 35) + "1",
            "sk-" + "proj-" + characters(source, alphanumeric, 40) + "1",
            "h" + "f_" + characters(source, alphanumeric, 33) + "1",
            "sk_" + "live_" + characters(source, alphanumeric, 23) + "1",
            "AI" + "za" + characters(source, alphanumeric, 34) + "1",
        ]
    )


MAKERS = {
    "email_address": lambda source: (
        f"{characters(source, string.ascii_lowercase, 7)}.x@{characters(source, string.ascii_lowercase, 6)}.org"
    ),
    "phone_number": lambda source: f"+49 30 {source.randrange(10**6, 10**7)}",
    "ip_address": lambda source: (
        f"{source.randrange(20, 100)}.{source.randrange(256)}.{source.randrange(256)}.{source.randrange(1, 255)}"
    ),
    "credit_card": card,
    "iban": iban,
    "us_ssn": lambda source: f"{source.randrange(100, 600)}-{source.randrange(10, 99)}-{source.randrange(1000, 9999)}",
    "signed_token": token,
    "private_key": private_key,
    "api_key": api_key,
}


def planted(source: random.Random, kind: str) -> tuple[str, str, str]:
    """A value of the kind, a text with it, and the text with the value replaced by its tag."""
    value = MAKERS[kind](source)
    sentence = source.choice(SENTENCES)
    return value, sentence.format(value), sentence.format(f"<{kind.upper()}>")
