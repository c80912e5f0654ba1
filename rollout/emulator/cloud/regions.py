"""The regions of the emulated cloud: ids, zones and the prefix of their instance ids.

Used by the fleets and by DescribeRegions. A fleet file may name others; they get a made-up prefix.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec


class EmulatedRegion(msgspec.Struct, frozen=True):
    """One region. Its instance ids start with `prefix`, such as `i-bp1…` in cn-hangzhou."""

    name: str
    local_name: str
    prefix: str
    zones: tuple[str, ...]


def _region(name: str, local_name: str, prefix: str, zone_suffixes: str) -> EmulatedRegion:
    # cn-beijing-f, but us-west-1a.
    separator = "" if name[-1].isdigit() else "-"
    return EmulatedRegion(
        name, local_name, prefix, tuple(f"{name}{separator}{z}" for z in zone_suffixes)
    )


DEFAULT: Final = ("cn-hangzhou", "cn-shanghai", "cn-beijing")

KNOWN: Final[Mapping[str, EmulatedRegion]] = MappingProxyType(
    {
        region.name: region
        for region in (
            _region("cn-hangzhou", "华东1（杭州）", "bp1", "hijk"),
            _region("cn-shanghai", "华东2（上海）", "uf6", "befg"),
            _region("cn-beijing", "华北2（北京）", "2ze", "fghk"),
            _region("cn-shenzhen", "华南1（深圳）", "wz9", "defg"),
            _region("cn-qingdao", "华北1（青岛）", "m5e", "bc"),
            _region("cn-zhangjiakou", "华北3（张家口）", "8vb", "abc"),
            _region("cn-chengdu", "西南1（成都）", "2vc", "ab"),
            _region("cn-hongkong", "中国香港", "j6c", "bcd"),
            _region("ap-southeast-1", "新加坡", "t4n", "abc"),
            _region("ap-northeast-1", "日本（东京）", "6we", "abc"),
            _region("eu-central-1", "德国（法兰克福）", "gw8", "abc"),
            _region("us-west-1", "美国（硅谷）", "rj9", "ab"),
            _region("us-east-1", "美国（弗吉尼亚）", "0xi", "ab"),
        )
    }
)


def region(name: str) -> EmulatedRegion:
    """Return the region of that name; an unknown one gets a made-up prefix and two zones."""
    if known := KNOWN.get(name):
        return known
    prefix = hashlib.blake2b(name.encode(), digest_size=2).hexdigest()[:3]
    return EmulatedRegion(name, name, prefix, (f"{name}-a", f"{name}-b"))
