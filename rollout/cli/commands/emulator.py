"""`rollout emulator`: serve an emulated cloud on this machine until Ctrl-C or SIGTERM."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from rollout.cli.options import Common, duration
from rollout.cli.terminal import Terminal
from rollout.errors import ConfigError, Exit, UsageError
from rollout.model.phrase import say

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from rollout.emulator.dispatch import Cloud


def emulator(
    *,
    listen: str = "127.0.0.1:8473",
    size: Annotated[int | None, Parameter(show_default=False)] = None,
    fleet: Path | None = None,
    seed: int = 0,
    edition: Literal["current", "seed"] = "current",
    boot_time: str = "5s",
    faults: Path | None = None,
    ssh: Annotated[bool, Parameter(negative="")] = False,
    ssh_port: int = 0,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Run the ECS emulator on this machine.

    Parameters
    ----------
    listen
        Loopback address and port to listen on. Port 0 selects a free port.
    size
        Number of instances of the synthetic fleet. Default: 600.
    fleet
        File (JSONL, CSV or YAML) with the instances, instead of a synthetic fleet.
    seed
        Seed of the synthetic fleet and the faults.
    edition
        Edition of the API. `seed` is the earliest reference page that rollout supports.
    boot_time
        Time from an accepted restart until the instance is Running, in `s` or `ms`.
    faults
        Faults to inject: a YAML list of `{ fault, probability, actions, delay, code }`, or
        `hostile`. Default: none.
    ssh
        Also serve SSH logins of Running Linux instances. On Linux each instance has a loopback
        address of its own as its private address.
    ssh_port
        Port of these logins. 0 selects a free port.
    """
    import anyio

    if size is not None and fleet is not None:
        raise UsageError.of("R0002", say("--size and --fleet contradict each other"))
    if size is not None and size < 0:
        raise UsageError.of(
            "R0001", say("--size {size}: a fleet has 0 instances or more", size=size)
        )
    host, port = _address(listen)
    boot_time_ms = duration(boot_time, "--boot-time", milliseconds=True)
    cloud = _cloud(600 if size is None else size, fleet, seed, edition, boot_time_ms, faults)
    cloud.instances.loopback = ssh and sys.platform == "linux"
    guests = (seed, ssh_port) if ssh else None
    anyio.run(_serve, cloud, host, port, guests, Terminal.of(common))
    return Exit.DONE


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise UsageError.of(
            "R0001",
            say("--listen {listen}: not HOST:PORT", listen=listen),
            help="127.0.0.1:8473",
        )
    return host.strip("[]"), int(port)


def _cloud(
    size: int, fleet: Path | None, seed: int, edition: str, boot_time_ms: int, faults: Path | None
) -> Cloud:
    from rollout.ecs.contract import Edition
    from rollout.emulator import settings_files
    from rollout.emulator.cloud.switches import Switches
    from rollout.emulator.dispatch import Cloud
    from rollout.emulator.fault_plan import FaultPlan
    from rollout.emulator.fleet import file, synthetic
    from rollout.emulator.http import server

    now = server.wall_clock_ms()
    armed = settings_files.load_faults(faults) if faults is not None else ()
    if fleet is None:
        made = synthetic.build(size=size, seed=seed, now=now)
    else:
        made = file.load(fleet, seed=seed, now=now)
    switches = Switches(edition=Edition(edition), boot_time_ms=boot_time_ms)
    return Cloud(made, switches, faults=FaultPlan(armed, seed), seed=seed)


async def _serve(
    cloud: Cloud, host: str, port: int, ssh: tuple[int, int] | None, terminal: Terminal
) -> None:
    """Serve until a signal. `ssh`: seed and port of the guests; None = without guests."""
    import contextlib
    import os
    import signal

    import anyio

    from rollout.app.connect import EMULATOR_KEY
    from rollout.emulator.http import server

    try:
        async with server.serve(cloud, host, port) as url, contextlib.AsyncExitStack() as stack:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                terminal.show("\n".join(server.environment(url, *EMULATOR_KEY)))
                count = len(cloud.instances)
                if ssh is not None:
                    guests = await stack.enter_async_context(_guests(cloud, host, *ssh))
                    terminal.say(
                        say("Guests: {command}", command=f"ssh -p {guests} INSTANCE_ID@{host}")
                    )
                terminal.say(
                    say(
                        "EMULATOR at {url}: {count:,} instances; Ctrl-C stops it",
                        url=url,
                        count=count,
                    )
                )
                async for _ in signals:
                    return
    except ValueError as error:
        message = say("--listen {host}:{port}: {cause}", host=host, port=port, cause=error)
        cure = say("use 127.0.0.1: the emulator has no access control")
        raise UsageError.of("R0001", message, help=cure) from None
    except OSError as error:
        raise ConfigError.of(
            "R0010",
            say(
                "cannot listen on {host}:{port}: {cause}",
                host=host,
                port=port,
                cause=os.strerror(error.errno or 0),
            ),
            help=say("choose another port; port 0 selects a free one"),
        ) from None


def _guests(cloud: Cloud, host: str, seed: int, port: int) -> AbstractAsyncContextManager[int]:
    try:
        from rollout.emulator.guest import ssh
    except ModuleNotFoundError:
        message = say("--ssh needs the extra `ssh`, which is not installed")
        raise ConfigError.of("R0012", message, help="pip install 'ecs-rollout[ssh]'") from None
    return ssh.serve(cloud, host, port, seed=seed)
