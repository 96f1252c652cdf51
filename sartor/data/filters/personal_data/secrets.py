"""Secrets: private keys, keys of known services, signed tokens, passwords in addresses and in assignments."""

import re
from collections.abc import Iterator

from sartor.data.filters.personal_data.detector import Detector, Span

BEGIN_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
END_KEY = re.compile(r"-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
MAX_KEY_CHARACTERS = 20_000


def find_private_keys(text: str) -> Iterator[Span]:
    """From BEGIN to END; where the END is missing, the lines of base64 that follow."""
    place = 0
    while begin := BEGIN_KEY.search(text, place):
        end = END_KEY.search(text, begin.end(), begin.end() + MAX_KEY_CHARACTERS)
        following = BEGIN_KEY.search(text, begin.end(), end.start()) if end else None
        place = end.end() if end and not following else _end_of_lines(text, begin.end())
        yield begin.start(), place


BASE64_LINE = re.compile(r"[ \t\r\n>]*[A-Za-z0-9+/=]{16,}")


def _end_of_lines(text: str, place: int) -> int:
    while line := BASE64_LINE.match(text, place):
        place = line.end()
    return place


TOKEN = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{5,}", re.ASCII)


def find_signed_tokens(text: str) -> Iterator[Span]:
    """JSON Web Tokens: two base64 parts that begin with `{"`, and a signature."""
    return (match.span() for match in TOKEN.finditer(text))


# What the services themselves say, or what their keys have in common.
SERVICE_KEYS = (
    r"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}",  # Amazon
    r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22}_\w{59}",  # GitHub
    r"gl(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent)-[\w-]{20,}",  # GitLab
    r"xox[abeprs](?:\.xoxp)?-[\w-]{10,}|xapp-\d-[\w-]{20,}",  # Slack
    r"(?:sk|rk|pk|whsec)_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9]{24,}",  # Stripe
    r"AIza[\w-]{35}|GOCSPX-[\w-]{28}|ya29\.[\w-]{20,}",  # Google
    r"sk-(?:[a-z]{2,12}-)?[\w-]{20,}",  # OpenAI, Anthropic and others like them
    r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
    r"npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}",
    r"SG\.[\w-]{16,32}\.[\w-]{16,64}",  # SendGrid
    r"(?:SK|AC)[0-9a-f]{32}",  # Twilio
    r"dop_v1_[0-9a-f]{64}|shp(?:at|ss|ca|pa)_[0-9a-fA-F]{32}|sq0[a-z]{3}-[\w-]{22,43}|key-[0-9a-f]{32}",
    r"\d{8,10}:AA[\w-]{33}",  # Telegram
    r"https://hooks\.slack\.com/services/T\w{6,}/B\w{6,}/\w{16,}",
    r"https://discord(?:app)?\.com/api/webhooks/\d{16,20}/[\w-]{40,}",
)
SERVICE_KEY = re.compile(rf"(?<![\w-])(?:{'|'.join(SERVICE_KEYS)})(?![\w])", re.ASCII)
SECRET_NAME = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret(?:[_-]?(?:access)?[_-]?key)?|(?:api|access|account|auth|private|encryption|shared)"
    r"[_-]?(?:key|token)|client[_-]?secret|bearer|token)"
)
QUOTED = re.compile(rf"""(?i:{SECRET_NAME})["']?[ \t]{{0,4}}(?:=>|[:=])[ \t]{{0,4}}(["'])([^"'\s]{{8,200}})\1""")
PARAMETER = re.compile(rf"(?i:[?&;]{SECRET_NAME}=)([^&\s#\"'<>;]{{12,400}})")
ENVIRONMENT = re.compile(
    rf"(?m)^[ \t]*(?:export[ \t]+)?[A-Z0-9_]{{0,40}}(?i:{SECRET_NAME})[ \t]*=[ \t]*([^\s\"'#;]{{12,400}})[ \t]*$"
)
PLACEHOLDER = re.compile(
    r"your|example|change|placeholder|xxx|\*\*\*|\.\.\.|[<>{}$%()\[\]]|dummy|redacted|secret|password", re.I
)


def find_api_keys(text: str) -> Iterator[Span]:
    """Keys that their shape tells, and values that are assigned to something called a password, key or token."""
    ends = 0
    for start, end in sorted(_key_spans(text)):
        if start >= ends:
            ends = end
            yield start, end


def _key_spans(text: str) -> Iterator[Span]:
    yield from (match.span() for match in SERVICE_KEY.finditer(text) if any(map(str.isdigit, match[0])))
    for pattern, group in ((QUOTED, 2), (PARAMETER, 1), (ENVIRONMENT, 1)):
        for match in pattern.finditer(text):
            if _is_random(match[group]):
                yield match.span(group)


def _is_random(value: str) -> bool:
    """Letters and digits mixed, and nothing that says it is only an example or a variable."""
    mixed = any(map(str.isalpha, value)) and any(map(str.isdigit, value)) and len(set(value)) >= 6
    return mixed and not PLACEHOLDER.search(value)


CREDENTIALS = re.compile(r"://([^\s/?#:@\"'<>\[\]]{0,128}:[^\s/?#@\"'<>]{1,256})@(?=[\w\[])")


def find_url_credentials(text: str) -> Iterator[Span]:
    """The user name and password in `scheme://user:password@host`; scheme and host stay."""
    return (match.span(1) for match in CREDENTIALS.finditer(text) if "<" not in match[1])


PRIVATE_KEY = Detector("private_key", r"PRIVATE KEY", find_private_keys)
SIGNED_TOKEN = Detector("signed_token", r"eyJ[\w-]+\.eyJ", find_signed_tokens)
URL_CREDENTIALS = Detector("url_credentials", r"://[^\s/@]*:[^\s/@]+@", find_url_credentials)
API_KEY = Detector(
    "api_key",
    rf"{'|'.join(SERVICE_KEYS)}|(?i:{SECRET_NAME})[\"']?[ \t]{{0,4}}(?:=>|[:=])[ \t]{{0,4}}[\"']?[^\s\"']{{8}}",
    find_api_keys,
)
