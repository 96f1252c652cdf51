"""R16: what counts as a public address."""

import ipaddress
import socket
import time

import pytest

from sartor.data.collecting.web import addresses
from sartor.data.collecting.web.addresses import is_public, system_resolver

NOT_PUBLIC = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.170", "192.0.2.1", "198.18.0.1", "198.51.100.7",
    "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.88.99.1",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1",
    "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:db8::1", "2001::1",
    "2002:7f00:1::", "3fff::1", "5f00::1", "localhost", "", "127.1", "0x7f000001",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "198.20.0.1", "2606:4700::1111", "2a00:1450::200e"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_only_some_can_reach_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_everyone_reaches_is_public(address):
    assert is_public(address)


def test_the_standard_library_agrees_with_all_that_we_call_public():
    for first in range(256):
        for second in range(256):
            address = f"{first}.{second}.7.7"
            if is_public(address):
                parsed = ipaddress.ip_address(address)
                assert parsed.is_global and not parsed.is_multicast, address


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "017700000001", "localhost"])
def test_other_spellings_of_this_machine_resolve_to_an_address_that_is_refused(host):
    try:
        addresses = system_resolver(host, 80)
    except OSError:
        return  # this system does not know the spelling
    assert addresses and not any(is_public(address) for address in addresses)


def test_a_name_service_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1) or [])
    monkeypatch.setattr(addresses, "RESOLVE_SECONDS", 0.1)
    with pytest.raises(TimeoutError, match="no answer of the name service"):
        system_resolver("slow.example", 80)
