"""How long a motion takes and how it ends: the switches and the drawn facts of the instance.

Called by the power actions once nothing keeps the instance from it.
"""

from rollout.emulator import faults
from rollout.emulator.actions.context import Context
from rollout.emulator.cloud.instances import LEFT, Motion, Move
from rollout.emulator.cloud.ledger import NEVER, Effect


def begin(call: Context, motion: Motion, effect: Effect, region: str, instance: str) -> None:
    """Begin the motion of an instance that exists, and leave its effect in the hidden ledger."""
    instances = call.cloud.instances
    ordinal = instances.find(instance, region)
    if ordinal is None:
        return
    key = LEFT if _never_installs(call, instance, ordinal) else instances.record[ordinal]
    move = _move(call, motion, instance, instances.boots[ordinal], key)
    instances.move(ordinal, move)
    if motion is Motion.STOP and call.text("StoppedMode") == "StopCharging":
        instances.uncharged.add(ordinal)
    serves_again = move.motion is not Motion.REBOOT_ENDS_STOPPED
    call.leave(
        effect,
        region,
        ordinal=ordinal,
        key=instances.record[ordinal],
        until=move.until if serves_again else NEVER,
    )


def _move(call: Context, motion: Motion, instance: str, boots: int, key: int) -> Move:
    """The motion with its times; a stuck one has no end."""
    switches, now = call.cloud.switches, call.now
    if motion is Motion.STOP:
        return Move(motion, now, now + switches.stop_time_ms, 0)
    spread = switches.boot_spread_percent
    seed = switches.boot_seed
    drawn = faults.draw(seed, "boot_time", instance.encode(), boots) * 2 - 1 if spread else 0.0
    boot_ms = round(switches.boot_time_ms * (1 + drawn * spread / 100))
    stopping_ms = 0
    if motion is Motion.REBOOT and not switches.stopping_hidden:
        stopping_ms = min(switches.stop_time_ms, boot_ms // 2)
    has = call.cloud.faults.has
    if motion is Motion.REBOOT and has("boot_stuck_stopping", instance):
        return Move(motion, now, NEVER, NEVER)
    if has("boot_stuck_starting", instance):
        return Move(motion, now, NEVER, stopping_ms)
    if motion is Motion.REBOOT and has("reboot_ends_stopped", instance):
        return Move(Motion.REBOOT_ENDS_STOPPED, now, now + boot_ms, boot_ms)
    appends = switches.boot_keeps_former_keys or has("former_key_kept", instance)
    return Move(motion, now, now + boot_ms, stopping_ms, key, appends)


def _never_installs(call: Context, instance: str, ordinal: int) -> bool:
    images = call.cloud.switches.images_without_keys
    if images and call.cloud.instances.shape_of(ordinal).image.image_id in images:
        return True
    return call.cloud.faults.has("key_never_installed", instance)
