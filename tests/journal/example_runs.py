"""A small plan, and runs of it whose events are written by hand, without the core."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from rollout.core.running.layout import Layout
from rollout.journal import writer
from rollout.journal.reader import run_id
from rollout.model import event as ev
from rollout.model import plan as plans
from rollout.model.command import Attach, RestartCall
from rollout.model.event import AnyEvent, Trigger
from rollout.model.instance import Status
from rollout.model.observation import Observed, gather
from rollout.model.outcome import Done, Outcome
from rollout.model.plan import RestartKind
from rollout.model.spec import OnUnknown, Restart, WaveGate
from rollout.sim.world.several_keys import with_keys
from tests.journal import samples
from tests.journal.samples import ACTOR, NOW

OLD, NEW, OTHER = "ops-2026q3", "ops-2026q4", "ops-2026q2"
SITE = ("1234567890123456", "cn-hangzhou")


def target(number: int, kind: RestartKind = RestartKind.REBOOT) -> plans.Target:
    """A target of the plan."""
    seen = Status.RUNNING if kind is RestartKind.REBOOT else Status.STOPPED
    name = f"i-{number:08}"
    return plans.Target(name, "cn-hangzhou-i", "img-1", seen, OLD, True, kind, (0,))


def a_plan(
    *, cap: int = 2, on_unknown: OnUnknown = OnUnknown.HOLD, key_pair: str = NEW
) -> plans.Plan:
    """Ordinals 0 and 1 in the canary, 2 to 4 in the rest; 4 is started; two are excluded."""
    targets = [target(0), target(1), target(2), target(3), target(4, RestartKind.START)]
    waves = [
        plans.Wave(name, (plans.Cell(*SITE, (plans.Batch(tuple(members)),)),))
        for name, members in (("canary", targets[:2]), ("rest", targets[2:]))
    ]
    excluded = [
        plans.Exclusion("i-windows1", *SITE, plans.Reason.WINDOWS),
        plans.Exclusion("i-locked01", *SITE, plans.Reason.LOCKED),
    ]
    return plans.Plan(
        tool="0.1.0",
        name="example",
        labels={},
        spec_text="",
        spec_digest="sha256:1",
        made_at=NOW,
        expires_at=NOW + 86_400_000,
        as_of=NOW,
        identity=(),
        inventory_digest="sha256:2",
        counts=plans.Counts(7, 5, {"windows": 1, "locked": 1}),
        applyable=True,
        keys=(plans.WantedKey(key_pair, "ssh-ed25519 AAAA", "sha256:4", ()),),
        restart=Restart(),
        on_unknown=on_unknown,
        limits=plans.PlanLimits(1_000, 300_000),
        budgets=(plans.BudgetText("fleet", str(cap)),),
        groups=(plans.Group("fleet", 0, cap, 7, 2),),
        waves=tuple(waves),
        exclusions=tuple(excluded),
        warnings=(),
        estimate=plans.Estimate({}, 0, 0),
    )


def gated(bake_ms: int = 60_000, gate: WaveGate = WaveGate.MANUAL) -> plans.Plan:
    """The same plan with a bake and a gate after the canary."""
    plan = a_plan()
    canary = msgspec.structs.replace(plan.waves[0], bake_ms=bake_ms, gate=gate)
    return msgspec.structs.replace(plan, waves=(canary, *plan.waves[1:]))


def two_keys() -> plans.Plan:
    """The same plan with a second key at the same site, wanted on ordinals 3 and 4."""
    plan = a_plan()
    second = plans.WantedKey(OTHER, "ssh-ed25519 BBBB", "sha256:5", ())
    return with_keys(plan, (*plan.keys, second), lambda one: int(one.instance[-1] in "34"))


class ExampleRun:
    """Events of a run, added in the order in which they happened."""

    def __init__(self, plan: plans.Plan | None = None, name: str = "example") -> None:
        """Start a run of this plan. Another `name` makes another plan and so another run."""
        self.plan = msgspec.structs.replace(a_plan() if plan is None else plan, name=name)
        self.events: list[AnyEvent] = []
        self.n = 0
        self.epoch = 1
        self.observed = 0
        digest = plans.digest(plans.encode(self.plan))
        self.run = run_id(digest)
        self.add(samples.started(self.run, digest))

    def add(self, *events: AnyEvent) -> "ExampleRun":
        """These happened next."""
        self.events += events
        return self

    def command(self, word: ev.OperatorVerb, *, full: bool = False) -> "ExampleRun":
        """An operator commanded this; the ids are `1`, `2` and so on."""
        number = str(1 + sum(isinstance(event, ev.OperatorCommand) for event in self.events))
        order = ev.OperatorCommand(number, word, ACTOR, NOW, "inbox", "checked", full=full)
        return self.add(order)

    def close_gated(self, wave: int) -> "ExampleRun":
        """Its cell and the wave, before a gate."""
        return self.add(ev.CellClosed(wave), ev.WaveClosed(wave, NOW))

    def resume(self) -> "ExampleRun":
        """Another process took over."""
        self.epoch += 1
        return self.add(ev.Resumed(self.epoch, ACTOR, NOW))

    def open_wave(self, wave: int) -> "ExampleRun":
        """The wave and its one cell; in the first one the key pairs too."""
        self.add(ev.WaveStarted(wave, self.plan.waves[wave].name), ev.CellOpened(wave))
        keys = () if wave else range(len(self.plan.keys))
        return self.add(*(ev.KeyReady(*SITE, "fp", key=key) for key in keys))

    def close_wave(self, wave: int) -> "ExampleRun":
        """Its cell and the wave."""
        return self.add(ev.CellClosed(wave), ev.WaveClosed(wave))

    def issue(
        self, command: Attach | RestartCall, status: Status, key_pair: str, **changed: object
    ) -> "ExampleRun":
        """The intent of a call, judged on that status and key pair."""
        self.n += 1
        sight = Observed(status, key_pair, NOW - 86_400_000, NOW)
        seen = gather([sight] * len(command.ordinals))
        issued = ev.Issued(self.n, command, NOW + 60_000, seen, self.epoch)
        return self.add(msgspec.structs.replace(issued, **changed))

    def attach(self, *ordinals: int, **changed: object) -> "ExampleRun":
        """The intent of an attach."""
        command = Attach(ordinals, names(ordinals), self.key_of(ordinals[0]))
        return self.issue(command, Status.RUNNING, OLD, **changed)

    def restart(self, *ordinals: int, **changed: object) -> "ExampleRun":
        """The intent of a restart: a start for ordinal 4, else a reboot."""
        kind = RestartKind.START if ordinals == (4,) else RestartKind.REBOOT
        status = Status.STOPPED if ordinals == (4,) else Status.RUNNING
        command = RestartCall(kind, ordinals, names(ordinals))
        wanted = self.plan.keys[self.key_of(ordinals[0])]
        return self.issue(command, status, wanted.name, **changed)

    def settle(self, outcome: Outcome | None = None, n: int | None = None) -> "ExampleRun":
        """The last call, or call `n`, ended."""
        number = self.n if n is None else n
        done = Done(f"473469C7-AA6F-4DC5-B3DB-{number:012}", NOW)
        return self.add(ev.Settled(number, NOW, done if outcome is None else outcome))

    def move(self, trigger: Trigger, *ordinals: int) -> "ExampleRun":
        """An observation showed this."""
        if trigger is Trigger.OBSERVED_ATTACHED:
            self.observed += len(ordinals)
        return self.add(ev.Moved(trigger, ordinals, "status", NOW))

    def compare(self, key: int = 0) -> "ExampleRun":
        """The key pair was compared after all attaches so far, and is the plan's."""
        return self.add(ev.KeyReady(*SITE, "fp", self.observed, key))

    def change_key(self, key: int = 0) -> "ExampleRun":
        """The key pair was compared and has other material."""
        return self.add(ev.KeyChanged(*SITE, "was recreated: the fingerprint changed", key))

    def key_of(self, ordinal: int) -> int:
        """The index of the key that the plan wants on a target."""
        return Layout(self.plan).targets[ordinal].key

    def attached(self, *ordinals: int) -> "ExampleRun":
        """Attached and read back."""
        return self.attach(*ordinals).settle().move(Trigger.OBSERVED_ATTACHED, *ordinals)

    def rotated(self, *ordinals: int) -> "ExampleRun":
        """Attached, restarted one after the other, serving again."""
        return self.attached(*ordinals).rotated_on(*ordinals)

    def rotated_on(self, *ordinals: int) -> "ExampleRun":
        """Attached before: restarted one after the other, serving again."""
        for ordinal in ordinals:
            self.restart(ordinal).settle().back(ordinal)
        return self

    def back(self, *ordinals: int) -> "ExampleRun":
        """The key pair compared, booted and serving again."""
        self.compare(self.key_of(ordinals[0])).move(Trigger.OBSERVED_BOOTED, *ordinals)
        return self.move(Trigger.OBSERVED_RUNNING, *ordinals)

    def close(self, exit_code: int = 0, **counts: int) -> "ExampleRun":
        """Close the run with these counts and the two excluded instances."""
        return self.add(ev.RunClosed({**counts, "excluded": 2}, exit_code))

    def write(self, runs_dir: Path) -> Path:
        """The run directory that this example leaves behind."""
        journal = writer.create(runs_dir, self.run, plans.encode(self.plan))
        for number, event in enumerate(self.events):
            journal.append([event], NOW + number)
        journal.close()
        return runs_dir / self.run


def names(ordinals: Sequence[int]) -> tuple[str, ...]:
    """Instance ids of ordinals."""
    return tuple(f"i-{ordinal:08}" for ordinal in ordinals)


def whole(plan: plans.Plan | None = None, name: str = "example") -> ExampleRun:
    """A run in which everything went well."""
    example = ExampleRun(plan, name)
    example.open_wave(0).rotated(0, 1).close_wave(0)
    example.open_wave(1).rotated(2, 3, 4).close_wave(1)
    return example.close(done=5)
