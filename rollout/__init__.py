"""Rotate SSH key pairs over fleets of Alibaba Cloud ECS instances.

The names in `__all__` are the Python API, described in docs/python-api.md. Each is loaded when it
is first used, so that `import rollout` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rollout.app.about import __version__
    from rollout.app.audit import Verdict, verify_journal
    from rollout.app.execute import apply, resume
    from rollout.app.notices import Notices, Progress
    from rollout.app.plan import Allow, PlanResult, make_plan, plan
    from rollout.app.plan_file import SavedPlan, load_plan, save_plan
    from rollout.app.rehearse import Rehearsal, RehearsalOptions, rehearse
    from rollout.app.retry import retry
    from rollout.app.runs import RunResult
    from rollout.app.session import Connection, Session
    from rollout.app.specs import load_spec
    from rollout.app.undo import undo
    from rollout.errors import Exit, Problem, RolloutError
    from rollout.model.instance import Instance, Inventory
    from rollout.model.plan import Plan
    from rollout.model.spec import Spec
    from rollout.model.view import RunView

__all__ = [
    "Allow",
    "Connection",
    "Exit",
    "Instance",
    "Inventory",
    "Notices",
    "Plan",
    "PlanResult",
    "Problem",
    "Progress",
    "Rehearsal",
    "RehearsalOptions",
    "RolloutError",
    "RunResult",
    "RunView",
    "SavedPlan",
    "Session",
    "Spec",
    "Verdict",
    "__version__",
    "apply",
    "load_plan",
    "load_spec",
    "make_plan",
    "plan",
    "rehearse",
    "resume",
    "retry",
    "save_plan",
    "undo",
    "verify_journal",
]

_MODULES = {
    "app.about": ("__version__",),
    "app.audit": ("Verdict", "verify_journal"),
    "app.execute": ("apply", "resume"),
    "app.notices": ("Notices", "Progress"),
    "app.plan": ("Allow", "PlanResult", "make_plan", "plan"),
    "app.plan_file": ("SavedPlan", "load_plan", "save_plan"),
    "app.rehearse": ("RehearsalOptions", "Rehearsal", "rehearse"),
    "app.retry": ("retry",),
    "app.runs": ("RunResult",),
    "app.session": ("Connection", "Session"),
    "app.specs": ("load_spec",),
    "app.undo": ("undo",),
    "errors": ("Exit", "Problem", "RolloutError"),
    "model.instance": ("Instance", "Inventory"),
    "model.plan": ("Plan",),
    "model.spec": ("Spec",),
    "model.view": ("RunView",),
}
"""Modules that define the public names."""
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
