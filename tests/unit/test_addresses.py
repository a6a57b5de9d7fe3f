"""Whose address it is: a header is believed only as far as trusted proxies wrote it."""

from __future__ import annotations

import pytest

from services.auth.addresses import caller_address, counted, networks, parsed, within

TRUSTED = networks("10.0.0.0/8, 2001:db8::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["192.0.2.1"], "203.0.113.7"),  # not a proxy of ours
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["6.6.6.6, 192.0.2.1"], "192.0.2.1"),  # the caller's own forgery
        ("10.0.0.1", ["6.6.6.6", "192.0.2.1, 10.2.2.2"], "192.0.2.1"),
        ("10.0.0.1", ["10.3.3.3"], "10.3.3.3"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1:443"], "192.0.2.1"),
        ("2001:db8::1", ["[2001:db9::5]:443"], "2001:db9::5"),
        ("::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("testclient", ["192.0.2.1"], None),
        (None, ["192.0.2.1"], None),
    ],
)
def test_the_caller_is_who_the_last_trusted_proxy_saw(
    peer: str | None, forwarded: list[str], found: str | None
) -> None:
    assert found == caller_address(peer, forwarded, TRUSTED)


def test_nobody_is_trusted_unless_it_is_said() -> None:
    assert "127.0.0.1" == caller_address("127.0.0.1", ["192.0.2.1"], networks(""))


def test_a_long_header_costs_little() -> None:
    hops = [", ".join(["10.0.0.9"] * 100_000)]

    assert "10.0.0.9" == caller_address("10.0.0.1", hops, TRUSTED)


def test_what_one_customer_has_of_ipv6_counts_as_one() -> None:
    assert counted("2001:db9:1:2::5") == counted("2001:db9:1:2:ffff::9")
    assert counted("2001:db9:1:2::5") != counted("2001:db9:1:3::5")
    assert "192.0.2.1" == counted("::ffff:192.0.2.1")


def test_what_is_no_address_is_in_no_network() -> None:
    assert not within("nonsense", TRUSTED)
    assert not within(None, TRUSTED)
    assert None is parsed("nonsense")


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        networks("10.0.0.0/8, nonsense")
