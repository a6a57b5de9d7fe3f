"""Where scripts may connect to, in whatever way an address is written."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.script_worker.sandbox.egress import (
    DNS_PORT,
    Endpoint,
    Grant,
    Policy,
    SocketAddress,
    Verdict,
    endpoints,
    resolvers_of,
    spellings_of,
)

OPEN = Grant()
BROKER = Endpoint.of("192.0.2.7", 5672)
RESOLVER = ip_address("192.0.2.53")
POLICY = Policy(
    own=frozenset({BROKER, Endpoint.of("127.0.0.1", 5432)}),
    refused=(ip_network("198.51.100.0/24"),),
    resolvers=frozenset({RESOLVER}),
)


def judge(
    address: str, port: int = 443, *, grant: Grant | None = OPEN, local: bool = False
) -> Verdict:
    return POLICY.judge(Endpoint.of(address, port), grant, local=local)


def inside(address: IPv4Address) -> list[IPv6Address]:
    """Ways to write an IPv4 address as an IPv6 one, each from its own RFC."""
    number = int(address)
    compatible = [IPv6Address(number)] if number > 1 else []  # :: and ::1 are something else
    return [
        *compatible,
        IPv6Address(f"::ffff:{address}"),
        IPv6Address(int(IPv6Address("::ffff:0:0:0")) | number),
        IPv6Address(int(IPv6Address("64:ff9b::")) | number),
        IPv6Address(int(IPv6Address("64:ff9b:1::")) | number),
        IPv6Address(int(IPv6Address("2002::")) | number << 80 | 1),
        IPv6Address(int(IPv6Address("2001::")) | number << 64),
        IPv6Address(int(IPv6Address("2001::")) | (~number & 0xFFFFFFFF)),
        IPv6Address(int(IPv6Address("2001:db8::5efe:0:0")) | number),
        IPv6Address(int(IPv6Address("2001:db8::200:5efe:0:0")) | number),
    ]


@pytest.mark.parametrize(
    ("address", "verdict"),
    [
        ("203.0.113.9", Verdict.ALLOWED),
        ("2001:db8::1", Verdict.ALLOWED),
        ("10.1.2.3", Verdict.ALLOWED),
        ("127.0.0.1", Verdict.ALLOWED),
        ("169.254.0.1", Verdict.LINK_LOCAL),
        ("fe80::1", Verdict.LINK_LOCAL),
        ("fd00:ec2::254", Verdict.METADATA),
        ("fd20:ce::254", Verdict.METADATA),
        ("100.100.100.200", Verdict.METADATA),
        ("168.63.129.16", Verdict.METADATA),
        ("0.0.0.0", Verdict.UNSPECIFIED),  # noqa: S104 - nobody binds it
        ("::1", Verdict.ALLOWED),
        ("0.1.2.3", Verdict.UNSPECIFIED),
        ("::", Verdict.UNSPECIFIED),
        ("255.255.255.255", Verdict.RESERVED),
        ("224.0.0.1", Verdict.RESERVED),
        ("ff02::1", Verdict.RESERVED),
        ("198.51.100.77", Verdict.REFUSED_NETWORK),
    ],
)
def test_an_open_grant_reaches_anything_but_what_is_refused_to_all(
    address: str, verdict: Verdict
) -> None:
    assert verdict is judge(address)


@given(address=st.ip_addresses(v=4), port=st.integers(1, 65535))
def test_an_ipv4_address_inside_an_ipv6_one_is_refused_as_itself(
    address: IPv4Address, port: int
) -> None:
    plain = POLICY.judge(Endpoint(address, port), OPEN, local=False)
    if plain is Verdict.ALLOWED:
        return
    for spelled in inside(address):
        assert POLICY.judge(Endpoint(spelled, port), OPEN, local=False) is not Verdict.ALLOWED


@given(network=st.sampled_from(["169.254.0.0/16", "0.0.0.0/8", "198.51.100.0/24"]), host=st.data())
def test_every_spelling_of_a_refused_network_is_refused(network: str, host: st.DataObject) -> None:
    address = host.draw(st.ip_addresses(network=network))
    assert isinstance(address, IPv4Address)
    for spelled in (address, *inside(address)):
        assert judge(str(spelled)) is not Verdict.ALLOWED


@given(address=st.ip_addresses(v=4))
def test_every_way_to_write_an_address_is_known(address: IPv4Address) -> None:
    for spelled in inside(address):
        assert address in list(spellings_of(spelled))


def test_our_own_services_are_refused_in_every_spelling_and_neighbours_of_theirs_are_not() -> None:
    own = [str(BROKER.address), *map(str, inside(IPv4Address("192.0.2.7")))]
    assert Verdict.ALLOWED not in {judge(address, 5672) for address in own}
    assert Verdict.OWN_SERVICE is judge("::ffff:192.0.2.7", 5672)
    assert Verdict.ALLOWED is judge("192.0.2.7", 5671)
    assert Verdict.ALLOWED is judge("192.0.2.8", 5672)


def test_a_service_on_this_machine_is_refused_at_each_of_its_addresses() -> None:
    assert Verdict.OWN_SERVICE is judge("127.0.0.1", 5432)
    assert Verdict.OWN_SERVICE is judge("127.9.9.9", 5432, local=True)
    assert Verdict.OWN_SERVICE is judge("10.1.2.3", 5432, local=True)
    assert Verdict.OWN_SERVICE is judge("::1", 5432, local=True)
    assert Verdict.ALLOWED is judge("10.1.2.3", 5432, local=False)
    assert Verdict.ALLOWED is judge("10.1.2.3", 5433, local=True)


def test_a_shared_server_can_be_reached_and_nothing_else_of_ours() -> None:
    shared = Policy(own=POLICY.own, shared=frozenset({Endpoint.of("127.0.0.1", 5432)}))
    database, broker = Endpoint.of("127.0.0.1", 5432), BROKER
    assert Verdict.ALLOWED is shared.judge(database, OPEN, local=True)
    assert Verdict.OWN_SERVICE is shared.judge(broker, OPEN, local=False)


def test_a_list_allows_what_is_on_it_and_never_what_is_refused_to_all() -> None:
    listed = Grant(
        open=False,
        listed=endpoints([["203.0.113.9", 5432], ["192.0.2.7", 5672], ["169.254.0.1", 80]]),
    )
    assert Verdict.ALLOWED is judge("203.0.113.9", 5432, grant=listed)
    assert Verdict.ALLOWED is judge("::ffff:203.0.113.9", 5432, grant=listed)
    assert Verdict.NOT_LISTED is judge("203.0.113.9", 5433, grant=listed)
    assert Verdict.NOT_LISTED is judge("203.0.113.10", 5432, grant=listed)
    assert Verdict.OWN_SERVICE is judge("192.0.2.7", 5672, grant=listed)
    assert Verdict.LINK_LOCAL is judge("169.254.0.1", 80, grant=listed)


def test_a_process_that_belongs_to_nobody_yet_reaches_nothing() -> None:
    assert Verdict.UNBOUND is judge("203.0.113.9", grant=None)
    assert Verdict.UNBOUND is judge(str(RESOLVER), DNS_PORT, grant=None)


def test_names_can_be_resolved_under_every_grant_and_nothing_else_of_a_resolver_be_reached() -> (
    None
):
    nothing = Grant(open=False)
    assert Verdict.ALLOWED is judge(str(RESOLVER), DNS_PORT, grant=nothing)
    assert Verdict.NOT_LISTED is judge(str(RESOLVER), 80, grant=nothing)
    assert Verdict.NOT_LISTED is judge("203.0.113.9", DNS_PORT, grant=nothing)


def test_listed_ports_bound_an_open_grant_too() -> None:
    bounded = Policy(ports=frozenset({5432}))
    assert Verdict.ALLOWED is bounded.judge(Endpoint.of("203.0.113.9", 5432), OPEN, local=False)
    assert Verdict.NOT_LISTED is bounded.judge(Endpoint.of("203.0.113.9", 22), OPEN, local=False)


@given(raw=st.binary(max_size=140))
def test_any_bytes_are_an_address_or_none(raw: bytes) -> None:
    parsed = SocketAddress.parse(raw)
    if parsed is not None:
        assert parsed.family in (socket.AF_INET, socket.AF_INET6)


@given(
    address=st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)),
    port=st.integers(0, 65535),
    scope=st.integers(0, 9),
)
def test_an_address_in_memory_is_read_as_it_was_written(
    address: IPv4Address | IPv6Address, port: int, scope: int
) -> None:
    if isinstance(address, IPv4Address):
        raw = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, address.packed)
    else:
        raw = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16s", port, 5, address.packed)
        raw += struct.pack("=I", scope)
    parsed = SocketAddress.parse(raw)

    assert parsed is not None
    assert Endpoint(address, port) == parsed.to
    assert ip_address(parsed.for_python()[0]) == address


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x02", struct.pack("=H14x", 0), struct.pack("=H14x", 1), struct.pack("=H13x", 2)],
    ids=["nothing", "one byte", "AF_UNSPEC", "AF_UNIX", "a short one"],
)
def test_what_is_no_internet_address_is_none(raw: bytes) -> None:
    assert SocketAddress.parse(raw) is None


def test_resolvers_are_read_as_the_c_library_reads_them() -> None:
    text = "# a comment\nsearch example.com\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver x\n"
    assert {RESOLVER, ip_address("fe80::1")} == resolvers_of(text)
    assert {ip_address("127.0.0.1"), ip_address("::1")} == resolvers_of("")
