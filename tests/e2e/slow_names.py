"""The command line on a machine whose name servers do not answer: `slow_names.py plan …`.

A launcher of the tests; nothing of it is in the product.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from rollout import __main__ as program

SILENCE_S = 60


def _no_answer(*_: Any, **__: Any) -> Any:
    """Block as the C library does until its own time is up."""
    time.sleep(SILENCE_S)
    raise socket.gaierror(socket.EAI_AGAIN, "no answer")


if __name__ == "__main__":
    socket.getaddrinfo = _no_answer
    program.run()
