"""One instance of a run as text."""

from __future__ import annotations

from rollout.cli.views import instances
from rollout.model.view import InstanceView


def test_the_facts_of_an_instance_fit_80_columns() -> None:
    """Place, image, OS and type are wrapped, and an OS name has single spaces."""
    view = InstanceView(
        "i-bp17452d77ead22ff23b",
        "cn-hangzhou",
        "cn-hangzhou-i",
        "aliyun_3_x64_20G_alibase_20250629.vhd",
        "Alibaba Cloud Linux  3.2104 LTS 64 bit",
        "ecs.r7.large",
        "canary",
        "done",
        ("fleet",),
        permit=False,
        waits="nothing: it is finished",
        cause="",
    )

    text = instances.life(view, (), 80)

    assert all(len(line) <= 80 for line in text.splitlines())
    told = " ".join(text.replace("\n   ", "").split(" "))
    assert "Alibaba Cloud Linux 3.2104 LTS 64 bit" in told and "ecs.r7.large" in told
