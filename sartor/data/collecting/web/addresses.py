"""Which addresses a collector may connect to: public ones (IANA's special-purpose registries, RFC 6890).

A page that is collected must not make this machine ask its own services, its neighbours or a cloud's metadata server
(server-side request forgery).
"""

import ipaddress
import socket
import threading
from collections.abc import Callable

Resolver = Callable[[str, int], list[str]]
"""The addresses of a host name for a port, in the order in which to try them. OSError when it has none."""

IPV4_NOT_PUBLIC = [
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure's platform service, reached from inside only though its number is public
    )
]  # fmt: skip
IPV6_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that is global unicast. What carries an IPv4 address inside, mapped or by NAT64, lies outside."""
IPV6_NOT_PUBLIC = [
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")  # Teredo and 6to4 carry IPv4 addresses
]
RESOLVE_SECONDS = 10.0


def is_public(address: str) -> bool:
    """Whether an address (numbers, not a name) is one that the whole Internet reaches; False for what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in IPV4_NOT_PUBLIC)
    inside = parsed in IPV6_UNICAST and parsed.scope_id is None
    return inside and not any(parsed in network for network in IPV6_NOT_PUBLIC)


def system_resolver(host: str, port: int) -> list[str]:
    """By the system's resolver, which has no time limit of its own: TimeoutError after `RESOLVE_SECONDS`."""
    found: list[list[str]] = []
    failed: list[OSError] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.append([str(answer[4][0]) for answer in answers])
        except (OSError, UnicodeError) as error:
            failed.append(error if isinstance(error, OSError) else OSError(str(error)))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(RESOLVE_SECONDS)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"no answer of the name service for {host} within {RESOLVE_SECONDS:.0f} s")
    return list(dict.fromkeys(found[0]))
