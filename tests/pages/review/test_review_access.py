"""Who is answered, and who is not: the rules without a server."""

from __future__ import annotations

import pytest

from voxdata.pages.access import Gate, RefusedError, is_loopback

TOKEN = "secret"


def passes(gate: Gate, host: str, opens_page: bool = False, **headers: str) -> bool:
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        gate.check_address(host, given, opens_page=opens_page)
    except RefusedError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765", "localhost", "LOCALHOST:9000"])
def test_loopback_names_through_any_tunnel(host: str) -> None:
    assert passes(Gate(TOKEN, "127.0.0.1", "review"), host)


@pytest.mark.parametrize(
    "host", ["evil.example:8765", "127.0.0.1.evil.example", "", "192.168.1.5:8765", "localhost.evil:1", "[", "a b"]
)
def test_names_that_were_pointed_here_are_refused(host: str) -> None:
    assert not passes(Gate(TOKEN, "127.0.0.1", "review"), host)


def test_an_open_server_has_its_addresses_and_its_name_but_no_other() -> None:
    gate = Gate(TOKEN, "0.0.0.0", "review")
    assert passes(gate, "192.168.1.5:8765")
    assert not passes(gate, "evil.example:8765")
    assert passes(Gate(TOKEN, "lab.example", "review"), "lab.example:8765")


def test_other_sites_and_other_ports_are_refused() -> None:
    gate = Gate(TOKEN, "127.0.0.1", "review")
    here = "127.0.0.1:8765"
    assert passes(gate, here, Origin=f"http://{here}", Sec_Fetch_Site="same-origin")
    for origin in ("http://evil.example", "http://127.0.0.1:8888", "null", "http://localhost:8765"):
        assert not passes(gate, here, Origin=origin)
    for site in ("cross-site", "same-site"):
        assert not passes(gate, here, Sec_Fetch_Site=site)
        assert passes(gate, here, opens_page=True, Sec_Fetch_Site=site)


def test_a_cookie_reads_and_only_the_header_writes() -> None:
    gate = Gate(TOKEN, "127.0.0.1", "review")
    gate.check_read(None, TOKEN)
    gate.check_read(TOKEN, None)
    gate.check_write(TOKEN)
    for wrong in (None, "", "secre", "secret ", "sécret"):
        with pytest.raises(RefusedError):
            gate.check_write(wrong)
        with pytest.raises(RefusedError):
            gate.check_read(wrong, wrong)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("lab", False)],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
