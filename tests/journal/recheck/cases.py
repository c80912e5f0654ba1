"""Parts of runs and of verdicts that the tests of the recheck share."""

from rollout.journal.verify import Verdict
from rollout.model import event as ev
from rollout.model.event import OperatorVerb, Resolution
from rollout.model.outcome import Refused, RetryClass
from rollout.model.plan import Plan
from tests.journal import example_runs, samples
from tests.journal.example_runs import ExampleRun
from tests.journal.samples import NOW

REFUSED = Refused("OperationConflict", RetryClass.STATE)
FACT = Refused("DependencyViolation.WindowsInstance", RetryClass.FACT)
ABORT = ev.OperatorCommand("1", OperatorVerb.ABORT, samples.ACTOR, NOW, "inbox")


def resolved(ordinal: int, resolution: Resolution) -> ev.OperatorCommand:
    """An operator stated this about an instance."""
    name = example_runs.names((ordinal,))[0]
    word = OperatorVerb.RESOLVE
    return ev.OperatorCommand("2", word, samples.ACTOR, NOW, "inbox", "seen", name, resolution)


def in_rest(plan: Plan | None = None) -> ExampleRun:
    """A run whose canary went well and whose second wave has just been opened."""
    return ExampleRun(plan).open_wave(0).rotated(0, 1).close_wave(0).open_wave(1)


def messages(verdict: Verdict) -> str:
    """All that is wrong, one a line."""
    return "\n".join(f"{problem.code} {problem.message}" for problem in verdict.problems)
