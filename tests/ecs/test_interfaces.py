"""The addresses of this machine's network interfaces."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

import pytest

from rollout.ecs import interfaces


def card(folder: Path, name: str, mac: str) -> None:
    """An interface as Linux shows it."""
    (folder / name).mkdir()
    (folder / name / "address").write_text(f"{mac}\n")


def test_an_interface_needs_both_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback, interfaces without an address and unreadable ones do not count."""
    card(tmp_path, "eth0", "00:16:3E:00:00:10")
    card(tmp_path, "eth1", "00:16:3e:00:00:11")
    card(tmp_path, "lo", "00:00:00:00:00:00")
    (tmp_path / "bonding_masters").write_text("")
    addresses = {"eth0": "10.0.0.16", "lo": "127.0.0.1", "bonding_masters": "10.0.0.9"}
    monkeypatch.setattr(interfaces, "_address", lambda name: addresses.get(name, ""))

    assert interfaces.local(tmp_path) == [interfaces.Interface("10.0.0.16", "00:16:3e:00:00:10")]
    assert interfaces.local(tmp_path / "elsewhere") == []


@pytest.mark.skipif(sys.platform != "linux", reason="the addresses come from Linux")
def test_this_machine_has_no_loopback_address() -> None:
    """Whatever interfaces this machine has: usable addresses, in the form of the service."""
    assert interfaces._address("lo") == ""
    assert interfaces._address("no-such-interface") == ""
    for one in interfaces.local():
        assert not ipaddress.ip_address(one.address).is_loopback
        assert one.mac == one.mac.lower() and len(one.mac.split(":")) >= 6
