"""The same rotation as a plain script with the official async SDK, as a user would write it.

Batches of 50 run concurrently: AttachKeyPair, RebootInstance for each instance, and
DescribeInstanceStatus every two seconds until all are Running. The script has no budget, no journal
and no resume, and a lost reply ends it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from alibabacloud_ecs20140526 import models
from alibabacloud_ecs20140526.client import Client
from alibabacloud_tea_openapi.models import Config

BATCH = 50
POLL_S = 2.0


def client(endpoint: str, *, protocol: str = "http", ca: str | None = None) -> Any:
    """Return the official client for an endpoint (`host:port`)."""
    return Client(
        Config(
            access_key_id="emulator",
            access_key_secret="emulator-secret",  # noqa: S106 - the emulator's public secret
            endpoint=endpoint,
            protocol=protocol,
            ca=ca,
            region_id="cn-hangzhou",
        )
    )


async def rotate(
    ecs: Any, region: str, key_pair: str, instances: Sequence[str], poll_s: float = POLL_S
) -> None:
    """Rotate all instances of one region."""
    batches = [instances[start : start + BATCH] for start in range(0, len(instances), BATCH)]
    async with asyncio.TaskGroup() as tasks:
        for batch in batches:
            tasks.create_task(_rotate_batch(ecs, region, key_pair, batch, poll_s))


async def _rotate_batch(
    ecs: Any, region: str, key_pair: str, batch: Sequence[str], poll_s: float
) -> None:
    await ecs.attach_key_pair_async(
        models.AttachKeyPairRequest(
            region_id=region, key_pair_name=key_pair, instance_ids=json.dumps(list(batch))
        )
    )
    for instance in batch:
        await ecs.reboot_instance_async(models.RebootInstanceRequest(instance_id=instance))
    while True:
        await asyncio.sleep(poll_s)
        answer = await ecs.describe_instance_status_async(
            models.DescribeInstanceStatusRequest(
                region_id=region, instance_id=list(batch), page_size=BATCH
            )
        )
        statuses = answer.body.instance_statuses.instance_status
        if all(one.status == "Running" for one in statuses):
            return
