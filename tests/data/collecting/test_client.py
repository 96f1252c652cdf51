"""R16: a request goes to the address that was checked, and ends within its limits whatever the server does."""

import gzip
import resource
import socket
import time

import httpcore2
import pytest

from sartor.data.collecting.entry import Unreachable
from sartor.data.collecting.web.client import Client, bounded, gunzip
from sartor.data.collecting.web.connection import CheckedBackend


class Wire:
    """Stands for the network: remembers where was connected to and what was said, and answers with a fixed text."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"):
        self.connected: list[tuple[str, int]] = []
        self.sent = b""
        self.names: list[str | None] = []
        self.answer = answer

    def connect(self, address, port, timeout):
        assert 0 < timeout <= 5
        self.connected.append((address, port))
        wire = self

        class Stream(httpcore2.NetworkStream):
            left = wire.answer

            def read(self, max_bytes, timeout=None):
                piece, self.left = self.left[:max_bytes], self.left[max_bytes:]
                return piece

            def write(self, buffer, timeout=None):
                wire.sent += buffer

            def start_tls(self, ssl_context, server_hostname=None, timeout=None):
                wire.names.append(server_hostname)
                return self

            def close(self):
                pass

        return Stream()


def client_to(wire, *answers, allow_private=False):
    """A client whose name service gives one of `answers` after the other."""
    asked = []

    def resolve(host, port):
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    backend = CheckedBackend(resolve, allow_private, wire.connect)
    return Client("Sartor/test", 1_000, 5.0, backend=backend), asked


def test_the_checked_address_is_connected_to_with_the_name_in_host_and_certificate():
    wire = Wire()
    client, asked = client_to(wire, ["93.184.215.14"])
    assert client.get("https://example.org/a?b=c").body == b"hi"
    assert wire.connected == [("93.184.215.14", 443)]
    assert wire.names == ["example.org"]
    assert b"GET /a?b=c HTTP/1.1\r\nHost: example.org\r\nUser-Agent: Sartor/test\r\n" in wire.sent
    assert asked == ["example.org"]


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.1.2.3"], ["169.254.169.254"], ["::1"], ["::ffff:10.0.0.1"], ["64:ff9b::a00:1"], ["fe80::1%lo"],
     ["8.8.8.8", "192.168.0.1"], ["192.168.0.1", "8.8.8.8"], ["not an address"]],
)  # fmt: skip
def test_a_name_with_an_address_that_is_not_public_is_refused_before_any_connection(addresses):
    wire = Wire()
    client, _ = client_to(wire, addresses)
    with pytest.raises(Unreachable, match="not public") as error:
        client.get("http://example.org/")
    assert (error.value.reason, error.value.is_temporary, wire.connected) == ("address_not_public", False, [])


def test_a_name_that_changes_its_address_is_refused_at_the_next_connection():
    wire = Wire(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
    client, asked = client_to(wire, ["8.8.8.8"], ["127.0.0.1"])
    assert client.get("http://rebind.example/").body == b"hi"
    with pytest.raises(Unreachable, match="127.0.0.1, which is not public"):
        client.get("http://rebind.example/")
    assert wire.connected == [("8.8.8.8", 80)] and len(asked) == 2


def test_the_name_is_asked_for_once_for_a_connection():
    """Between the check and the connection nobody asks again, so a quick change of the name changes nothing."""
    wire = Wire()
    client, asked = client_to(wire, ["8.8.8.8"], ["10.0.0.1"])
    client.get("http://rebind.example/")
    assert asked == ["rebind.example"] and wire.connected == [("8.8.8.8", 80)]


def test_the_next_address_is_tried_when_the_first_does_not_answer():
    wire = Wire()
    connect = wire.connect

    def first_is_down(address, port, timeout):
        if address == "8.8.8.8":
            raise httpcore2.ConnectError("down")
        return connect(address, port, timeout)

    wire.connect = first_is_down
    client, _ = client_to(wire, ["8.8.8.8", "1.1.1.1"])
    assert client.get("http://example.org/").status == 200
    assert wire.connected == [("1.1.1.1", 80)]


def test_with_the_flag_this_machine_may_be_asked(server):
    server.page("/", "<p>hi")
    with Client("Sartor/test", 1_000, 5.0, allow_private=True) as client:
        assert client.get(server.url + "/").body == b"<p>hi"
    with Client("Sartor/test", 1_000, 5.0) as client, pytest.raises(Unreachable, match="127.0.0.1"):
        client.get(server.url + "/")
    assert server.asked == ["/"]


def endless(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        handler.wfile.write(b"x" * 10_000)


def dripping(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def dripping_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X")
        time.sleep(0.05)


def endless_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-Header: " + b"x" * 1000 + b"\r\n")


def endless_information(handler):
    while True:
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)


def silent(handler):
    time.sleep(3)


def hanging_up(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort")


def nonsense(handler):
    handler.wfile.write(b"\x00\xff not http at all\r\n\r\n")


def large_by_word(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n")


def large_chunk(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n")
    while True:
        handler.wfile.write(b"x" * 10_000)


def packed(body):
    def answer(handler):
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        handler.wfile.write(head % len(body) + body)

    return answer


BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("answer", "reason", "temporary"),
    [
        (endless, "too_large", False),
        (dripping, "too_slow", True),
        (dripping_headers, "too_slow", True),
        (endless_headers, "no_connection", True),
        (endless_information, "too_slow", True),
        (silent, "too_slow", True),
        (hanging_up, "no_connection", True),
        (nonsense, "no_connection", True),
        (large_by_word, "too_large", False),
        (large_chunk, "too_large", False),
        (packed(BOMB), "too_large", False),
        (packed(gzip.compress(b"x" * 500)[:-9]), "damaged", True),
        (packed(b"not gzip"), "damaged", False),
    ],
)  # fmt: skip
def test_hostile_answers_end_within_the_limits(server, answer, reason, temporary):
    server.pages["/"] = answer
    started, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Client("Sartor/test", 100_000, 0.8, allow_private=True) as client, pytest.raises(Unreachable) as error:
        client.get(server.url + "/")
    assert (error.value.reason, error.value.is_temporary) == (reason, temporary), error.value
    assert time.monotonic() - started < 2.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 40_000  # kB


def test_a_packed_answer_is_unpacked_also_in_several_members(server):
    server.pages["/"] = packed(gzip.compress(b"one ") + gzip.compress(b"two"))
    with Client("Sartor/test", 1_000, 5.0, allow_private=True) as client:
        assert client.get(server.url + "/").body == b"one two"


def test_an_unknown_packing_is_refused(server):
    server.page("/", b"\x1b", Content_Encoding="br")
    with Client("Sartor/test", 1_000, 5.0, allow_private=True) as client, pytest.raises(Unreachable, match="as br"):
        client.get(server.url + "/")


def test_nothing_listens():
    with Client("Sartor/test", 1_000, 5.0, allow_private=True) as client, pytest.raises(Unreachable) as error:
        client.get("http://127.0.0.1:1/")
    assert (error.value.reason, error.value.is_temporary) == ("no_connection", True)


def test_a_name_without_an_address():
    def resolve(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    with Client("Sartor/test", 1_000, 5.0, resolve=resolve) as client, pytest.raises(Unreachable, match="no address"):
        client.get("http://nowhere.example/")


def test_unpacking_gives_small_pieces():
    pieces = list(gunzip([BOMB], 1_000))
    assert max(map(len, pieces)) <= 1_000 and sum(map(len, pieces)) == 50_000_000
    with pytest.raises(Unreachable):
        list(bounded([b"12", b"3"], 2))
