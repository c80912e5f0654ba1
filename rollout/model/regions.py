"""Known regions of the service, to detect typing errors.

Used by the spec reader and the inventory. A newer region is accepted by its form; before a live
plan a call shows whether the account has it.
Source: ECS endpoints page of 2026-01, finance and government regions included.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches

from rollout.model.phrase import Phrase, say

KNOWN: tuple[str, ...] = (
    "cn-hangzhou",
    "cn-shanghai",
    "cn-beijing",
    "cn-shenzhen",
    "cn-qingdao",
    "cn-zhangjiakou",
    "cn-huhehaote",
    "cn-wulanchabu",
    "cn-chengdu",
    "cn-guangzhou",
    "cn-heyuan",
    "cn-nanjing",
    "cn-fuzhou",
    "cn-wuhan-lr",
    "cn-zhongwei",
    "cn-zhengzhou-jva",
    "cn-hongkong",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ap-southeast-8",
    "us-east-1",
    "us-west-1",
    "us-southeast-1",
    "na-south-1",
    "eu-central-1",
    "eu-west-1",
    "me-east-1",
    "me-central-1",
    "cn-beijing-finance-1",
    "cn-shanghai-finance-1",
    "cn-shenzhen-finance-1",
    "cn-hangzhou-finance",
    "cn-north-2-gov-1",
    "cn-heyuan-acdr-1",
    "cn-wulanchabu-gic-1",
)

_KNOWN = frozenset(KNOWN)
_FORM = re.compile(r"[a-z]{2,4}(?:-[a-z0-9]{1,20}){1,4}")


def is_known(region: str) -> bool:
    """Return whether the region is in the list."""
    return region in _KNOWN


def is_name(text: str) -> bool:
    """Return whether this may be a region: one of the list, or a name of that form."""
    return text in _KNOWN or _FORM.fullmatch(text) is not None


def advice(region: str) -> Phrase:
    """Return advice for an unknown region: the closest known one, or the form of a region."""
    return suggestion(region, KNOWN) or say("a region is written like `cn-hangzhou`")


def suggestion(region: str, known: Collection[str]) -> Phrase | None:
    """Return the closest of these regions as advice; None if none is similar."""
    close = get_close_matches(region.strip().lower().replace("_", "-"), known, n=1, cutoff=0.6)
    return say("did you mean `{suggestion}`?", suggestion=close[0]) if close else None
