"""Entry point of the `rollout` command, and of `python -m rollout`.

Called by the interpreter. It imports almost nothing before signals are handled: Ctrl-C while the
rest of the program is imported would otherwise print a traceback.
"""

from __future__ import annotations

import atexit
import os
import signal

_EXITS = {signal.SIGINT: 130, signal.SIGTERM: 143}


def run() -> None:
    """Run the command line and end the process with its exit code."""
    atexit.register(_ignore_signals)  # registered first, so it runs last
    for number in _EXITS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda received, _: os._exit(_EXITS[signal.Signals(received)]))
    from rollout.cli import main

    main.run()


def _ignore_signals() -> None:
    """The interpreter's last steps would restore the default handlers and lose the exit code."""
    for number in _EXITS:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    run()
