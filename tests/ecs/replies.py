"""Replies of the service as tests script them, and outcomes in short."""

from __future__ import annotations

import json

from rollout.model.outcome import Done, Outcome, Refused, Unknown
from tests.ecs.scripted import REQUEST_ID, Scripted, reply

REGION = "cn-hangzhou"
JSON = {"Content-Type": "application/json;charset=utf-8"}
XML = {"Content-Type": "text/xml;charset=utf-8"}
HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>proxy</h1></body></html>"


def short(outcome: Outcome) -> str:
    """`done`, `refused CODE CLASS` or `unknown WHY`."""
    match outcome:
        case Done():
            return "done"
        case Refused(code=code, retry=retry):
            return f"refused {code} {retry}"
        case Unknown(why=why):
            return f"unknown {why}"


def error(status: int, code: str, message: str = "m", **headers: str) -> Scripted:
    """An API error in JSON."""
    body = {"RequestId": REQUEST_ID, "HostId": "h", "Code": code, "Message": message}
    sent = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    return reply(status, json.dumps(body), headers=sent)


def xml(text: str, status: int = 200) -> Scripted:
    """A reply in XML."""
    declared = '<?xml version="1.0" encoding="UTF-8"?>' + text
    return reply(status, declared, headers=XML)
