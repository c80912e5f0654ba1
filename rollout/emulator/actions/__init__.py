"""The actions of the pretend cloud, one function each, in the order of `ecs.contract`.

Called by the cloud, which has checked version, action, key and quota before.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from rollout.emulator.actions import (
    assistant,
    attach,
    commands,
    describe,
    keypairs,
    power,
    regions,
)
from rollout.emulator.actions.context import Call

Handler = Callable[[Call], Mapping[str, object]]

HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        "AttachKeyPair": attach.attach_key_pair,
        "DetachKeyPair": attach.detach_key_pair,
        "ImportKeyPair": keypairs.import_key_pair,
        "CreateKeyPair": keypairs.create_key_pair,
        "DeleteKeyPairs": keypairs.delete_key_pairs,
        "DescribeKeyPairs": keypairs.describe_key_pairs,
        "DescribeInstances": describe.describe_instances,
        "DescribeInstanceStatus": describe.describe_instance_status,
        "DescribeInstanceAttribute": describe.describe_instance_attribute,
        "DescribeInstancesFullStatus": describe.describe_instances_full_status,
        "RebootInstance": power.reboot_instance,
        "RebootInstances": power.reboot_instances,
        "StartInstance": power.start_instance,
        "StartInstances": power.start_instances,
        "StopInstance": power.stop_instance,
        "StopInstances": power.stop_instances,
        "DescribeRegions": regions.describe_regions,
        "RunCommand": commands.run_command,
        "DescribeInvocationResults": assistant.describe_invocation_results,
        "DescribeCloudAssistantStatus": assistant.describe_cloud_assistant_status,
        "GetCallerIdentity": regions.get_caller_identity,
    }
)
