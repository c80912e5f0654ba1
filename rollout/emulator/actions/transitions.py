"""Duration and end of a transition, from the switches and the faults of the instance.

Called by the power actions after their checks.
"""

from rollout.emulator import fault_plan
from rollout.emulator.actions.context import Context
from rollout.emulator.cloud.ledger import NEVER, Effect
from rollout.emulator.cloud.lifecycle import KEYS_UNCHANGED, Transition, TransitionKind


def begin(call: Context, kind: TransitionKind, effect: Effect, region: str, instance: str) -> None:
    """Begin a transition of an instance, and write its effect into the hidden ledger."""
    instances = call.cloud.instances
    ordinal = instances.find(instance, region)
    if ordinal is None:
        return
    key = KEYS_UNCHANGED if _never_installs(call, instance, ordinal) else instances.record[ordinal]
    transition = _move(call, kind, instance, instances.boots[ordinal], key)
    instances.transition(ordinal, transition)
    if kind is TransitionKind.STOP and call.text("StoppedMode") == "StopCharging":
        instances.uncharged.add(ordinal)
    serves_again = transition.kind is not TransitionKind.REBOOT_ENDS_STOPPED
    call.leave(
        effect,
        region,
        ordinal=ordinal,
        key=instances.record[ordinal],
        until=transition.until if serves_again else NEVER,
    )


def _move(call: Context, kind: TransitionKind, instance: str, boots: int, key: int) -> Transition:
    """Return the transition with its times; a stuck one has no end."""
    switches, now = call.cloud.switches, call.now
    if kind is TransitionKind.STOP:
        return Transition(kind, now, now + switches.stop_time_ms, 0)
    spread = switches.boot_spread_percent
    seed = switches.boot_seed
    drawn = fault_plan.draw(seed, "boot_time", instance.encode(), boots) * 2 - 1 if spread else 0.0
    boot_ms = round(switches.boot_time_ms * (1 + drawn * spread / 100))
    stopping_ms = 0
    if kind is TransitionKind.REBOOT and not switches.stopping_hidden:
        stopping_ms = min(switches.stop_time_ms, boot_ms // 2)
    has = call.cloud.faults.has
    if kind is TransitionKind.REBOOT and has("boot_stuck_stopping", instance):
        return Transition(kind, now, NEVER, NEVER)
    if has("boot_stuck_starting", instance):
        return Transition(kind, now, NEVER, stopping_ms)
    if kind is TransitionKind.REBOOT and has("reboot_ends_stopped", instance):
        return Transition(TransitionKind.REBOOT_ENDS_STOPPED, now, now + boot_ms, boot_ms)
    appends = switches.boot_keeps_former_keys or has("former_key_kept", instance)
    late_ms, host_key = call.cloud.faults.late_key_ms(instance), has("host_key_changed", instance)
    return Transition(kind, now, now + boot_ms, stopping_ms, key, appends, late_ms, host_key)


def _never_installs(call: Context, instance: str, ordinal: int) -> bool:
    images = call.cloud.switches.images_without_keys
    if images and call.cloud.instances.shape_of(ordinal).image.image_id in images:
        return True
    return call.cloud.faults.has("key_never_installed", instance)
