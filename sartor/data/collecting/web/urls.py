"""One way of writing an address, so that a page is fetched once."""

from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from sartor.data.collecting.entry import Unreachable

DEFAULT_PORTS = {"http": 80, "https": 443}
LONGEST = 2_000  # characters; sitemaps.org allows 2,048
SAFE = "/%:=&?~#+!$,;'@()*[]"


def canonical(url: str, base: str = "") -> str:
    """The address with a lower-case ASCII host, no fragment, no default port and everything else quoted.

    Unreachable for what is not http or https, carries a user's name, or is no address at all.
    """
    try:
        parts = urlsplit(urljoin(base, url.strip()) if base else url.strip())
        host, port = parts.hostname, parts.port
        if parts.scheme not in DEFAULT_PORTS or not host:
            raise Unreachable("not_a_web_address", f"{url[:200]!r} is not an http or https address")
        name = host if ":" in host else host.encode("idna").decode("ascii").rstrip(".")
    except (ValueError, UnicodeError) as error:
        raise Unreachable("not_a_web_address", f"{url[:200]!r}: {error}") from None
    if parts.username is not None or parts.password is not None:
        raise Unreachable("names_in_address", "addresses with a user's name are not fetched")
    place = f"[{name}]" if ":" in name else name
    if port is not None and port != DEFAULT_PORTS[parts.scheme]:
        place += f":{port}"
    path = quote(parts.path or "/", safe=SAFE, errors="replace")
    result = urlunsplit((parts.scheme, place, path, quote(parts.query, safe=SAFE, errors="replace"), ""))
    if len(result) > LONGEST:
        raise Unreachable("address_too_long", f"longer than {LONGEST} characters")
    return result


def origin(url: str) -> str:
    """Scheme, host and port of a canonical address: what robots.txt and the rate are about."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
