"""Run the command line with name servers that do not answer: `slow_names.py plan …`.

Used only by tests.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from rollout import __main__ as program

SILENCE_S = 60


def _no_answer(*_: Any, **__: Any) -> Any:
    """Block until the C library's own timeout."""
    time.sleep(SILENCE_S)
    raise socket.gaierror(socket.EAI_AGAIN, "no answer")


if __name__ == "__main__":
    socket.getaddrinfo = _no_answer
    program.run()
