"""Names that the consoles print instead of region ids, in Chinese and English.

Used by the inventory for spreadsheets with such names. Source: region list of the ECS console
and the page "Regions and zones" of 2026-01.
"""

from __future__ import annotations

import unicodedata

_NAMES: dict[str, tuple[str, ...]] = {
    "cn-hangzhou": ("华东1（杭州）", "华东1", "China (Hangzhou)", "China East 1 (Hangzhou)"),
    "cn-shanghai": ("华东2（上海）", "华东2", "China (Shanghai)", "China East 2 (Shanghai)"),
    "cn-nanjing": ("华东5（南京-本地地域）", "华东5（南京）", "China (Nanjing - Local Region)"),
    "cn-fuzhou": ("华东6（福州-本地地域）", "华东6（福州）", "China (Fuzhou - Local Region)"),
    "cn-wuhan-lr": ("华中1（武汉-本地地域）", "华中1（武汉）", "China (Wuhan - Local Region)"),
    "cn-zhengzhou-jva": ("华中2（郑州-联通合营）", "China (Zhengzhou)"),
    "cn-qingdao": ("华北1（青岛）", "华北1", "China (Qingdao)", "China North 1 (Qingdao)"),
    "cn-beijing": ("华北2（北京）", "华北2", "China (Beijing)", "China North 2 (Beijing)"),
    "cn-zhangjiakou": ("华北3（张家口）", "华北3", "China (Zhangjiakou)"),
    "cn-huhehaote": ("华北5（呼和浩特）", "华北5", "China (Hohhot)"),
    "cn-wulanchabu": ("华北6（乌兰察布）", "华北6", "China (Ulanqab)"),
    "cn-shenzhen": ("华南1（深圳）", "华南1", "China (Shenzhen)", "China South 1 (Shenzhen)"),
    "cn-heyuan": ("华南2（河源）", "华南2", "China (Heyuan)"),
    "cn-guangzhou": ("华南3（广州）", "华南3", "China (Guangzhou)"),
    "cn-chengdu": ("西南1（成都）", "西南1", "China (Chengdu)"),
    "cn-zhongwei": ("西北2（中卫）", "西北2", "China (Zhongwei)"),
    "cn-hongkong": ("中国香港", "中国（香港）", "香港", "China (Hong Kong)", "Hong Kong (China)"),
    "ap-northeast-1": ("日本（东京）", "Japan (Tokyo)"),
    "ap-northeast-2": ("韩国（首尔）", "South Korea (Seoul)"),
    "ap-southeast-1": ("新加坡", "Singapore"),
    "ap-southeast-2": ("澳大利亚（悉尼）", "Australia (Sydney)"),
    "ap-southeast-3": ("马来西亚（吉隆坡）", "Malaysia (Kuala Lumpur)"),
    "ap-southeast-5": ("印度尼西亚（雅加达）", "Indonesia (Jakarta)"),
    "ap-southeast-6": ("菲律宾（马尼拉）", "Philippines (Manila)"),
    "ap-southeast-7": ("泰国（曼谷）", "Thailand (Bangkok)"),
    "ap-southeast-8": ("马来西亚（柔佛州）", "Malaysia (Johor)"),
    "ap-south-1": ("印度（孟买）", "India (Mumbai)"),
    "us-east-1": ("美国（弗吉尼亚）", "US (Virginia)"),
    "us-west-1": ("美国（硅谷）", "US (Silicon Valley)"),
    "us-southeast-1": ("美国（亚特兰大）", "US (Atlanta)"),
    "na-south-1": ("墨西哥", "Mexico"),
    "eu-central-1": ("德国（法兰克福）", "Germany (Frankfurt)"),
    "eu-west-1": ("英国（伦敦）", "UK (London)"),
    "me-east-1": ("阿联酋（迪拜）", "UAE (Dubai)"),
    "me-central-1": ("沙特（利雅得）", "Saudi Arabia (Riyadh)"),
}


def _squeezed(name: str) -> str:
    """Return a name without case, blanks, and the width and kind of its punctuation."""
    narrow = unicodedata.normalize("NFKC", name).lower()
    return "".join(one for one in narrow if one.isalnum())


_IDS = {_squeezed(name): region for region, names in _NAMES.items() for name in names}


def region_of(name: str) -> str:
    """Return the id of the region with this name; empty if no region has it."""
    return _IDS.get(_squeezed(name), "")
