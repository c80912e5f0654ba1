"""The error classes and error codes of the program.

    RolloutError
    ├── UsageError         R00xx  64  the command line
    ├── ConfigError        R00xx  78  settings, endpoint, run directory
    ├── SpecError          R01xx  65  the spec file, all problems at once
    ├── InventoryError     R02xx  65  an inventory source (4 or 6 where the code says so)
    ├── PlanError          R03xx  65  a budget, a wave, a plan file
    ├── AccessError        R04xx   4  credentials, permissions (1: cannot be reached)
    ├── RunError           R05xx   5  the run halted
    ├── ConflictError      R06xx   6  stale plan, drift, lock, already applied
    ├── ConfirmationError  R07xx   7  a missing or wrong confirmation
    ├── StorageError       R08xx  74  disk and journal writing
    └── IntegrityError     R09xx   9  journal, audit or plan digest broken

Each error has a code, a message and, if known, a location and a fix. `CODES` lists all codes; a
code is never reused. A `Bug` (see core.invariant) is a defect of the program with exit code 1. It
is not a RolloutError.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Self

from rollout.model.phrase import Wording


class Exit(enum.IntEnum):
    """Exit codes of the command line. They are a public contract."""

    DONE = 0
    FAILED = 1
    CHANGES = 2
    SOME_FAILED = 3
    DENIED = 4
    HALTED = 5
    CONFLICT = 6
    CONFIRM = 7
    IN_PROGRESS = 8
    INTEGRITY = 9
    USAGE = 64
    BAD_INPUT = 65
    IO = 74
    CONFIG = 78
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_ORDER: tuple[Exit, ...] = (
    Exit.INTEGRITY,
    Exit.FAILED,
    Exit.IO,
    Exit.INTERRUPTED,
    Exit.TERMINATED,
    Exit.DENIED,
    Exit.CONFLICT,
    Exit.BAD_INPUT,
    Exit.HALTED,
    Exit.SOME_FAILED,
    Exit.DONE,
)


def worst(*exits: Exit) -> Exit:
    """Return the exit code with the highest precedence."""
    return min(exits, key=EXIT_ORDER.index, default=Exit.DONE)


@dataclass(frozen=True, slots=True)
class Place:
    """The location of a problem: a file and, if known, its line and column (from 1) and text."""

    file: str
    line: int | None = None
    column: int | None = None
    text: str | None = None
    width: int = 1

    def __str__(self) -> str:
        numbers = [str(n) for n in (self.line, self.column) if n is not None]
        return ":".join([self.file, *numbers])


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: its code, what is wrong, location, fix, and further lines."""

    code: str
    what: Wording
    place: Place | None = None
    cure: Wording | None = None
    notes: tuple[Wording, ...] = ()
    request_id: str | None = None

    @property
    def message(self) -> str:
        """What is wrong, in English: for the journal, logs and JSON."""
        return str(self.what)

    @property
    def help(self) -> str | None:
        """The fix, in English."""
        return None if self.cure is None else str(self.cure)


@dataclass(eq=False)
class RolloutError(Exception):
    """One problem or several. `exit` is the command's exit code."""

    problems: tuple[Problem, ...]
    exit: Exit = Exit.FAILED
    resume: str | None = field(default=None, kw_only=True)

    @classmethod
    def of(
        cls,
        code: str,
        message: Wording,
        *,
        place: Place | None = None,
        help: Wording | None = None,  # noqa: A002 - the word users see
        notes: tuple[Wording, ...] = (),
        request_id: str | None = None,
        exit: Exit | None = None,  # noqa: A002 - the word users see
    ) -> Self:
        """Return an error with one problem. The default of `exit` is the exit code of the error
        code.
        """
        problem = Problem(code, message, place, help, notes, request_id)
        return cls((problem,), CODES[code].exit if exit is None else exit)

    def __str__(self) -> str:
        return "; ".join(f"{p.code}: {p.message}" for p in self.problems)


class UsageError(RolloutError):
    """The command line is invalid."""


class ConfigError(RolloutError):
    """A setting, the endpoint or the runs directory is invalid."""


class SpecError(RolloutError):
    """The spec is invalid. Contains all problems of the file."""


class InventoryError(RolloutError):
    """A source of the inventory is unreadable, invalid or incomplete."""


class PlanError(RolloutError):
    """The spec gives no plan, or a plan file is invalid."""


class AccessError(RolloutError):
    """Credentials or permissions are missing, or the service cannot be reached."""


class RunError(RolloutError):
    """The run halted."""


class ConflictError(RolloutError):
    """Another run, another operator or a change of the fleet conflicts with the command."""


class ConfirmationError(RolloutError):
    """A confirmation is missing or wrong."""


class StorageError(RolloutError):
    """A file or the journal cannot be read or written."""


class IntegrityError(RolloutError):
    """A plan or journal was changed after rollout wrote it."""


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the table of codes."""

    exit: Exit
    title: str


CODES: dict[str, Code] = {
    # R00xx usage, configuration
    "R0001": Code(Exit.USAGE, "the command line cannot be understood"),
    "R0002": Code(Exit.USAGE, "options contradict each other"),
    "R0003": Code(Exit.USAGE, "no such run"),
    "R0010": Code(Exit.CONFIG, "the endpoint is not acceptable"),
    "R0011": Code(Exit.CONFIG, "the runs directory is not safe"),
    "R0012": Code(Exit.CONFIG, "an optional dependency is not installed"),
    "R0013": Code(Exit.CONFIG, "a file of emulator settings is wrong"),
    "R0014": Code(Exit.CONFIG, "a setting in the environment is unknown or wrong"),
    "R0015": Code(Exit.CONFIG, "a proxy setting is not acceptable"),
    "R0016": Code(Exit.USAGE, "no such error code"),
    "R0017": Code(Exit.USAGE, "an option that narrows the plan matches nothing"),
    "R0018": Code(Exit.USAGE, "--max-down is more than the plan allows"),
    "R0019": Code(Exit.CONFIG, "a settings file cannot be read"),
    "R0020": Code(Exit.CONFIG, "a settings file names an unknown setting"),
    "R0021": Code(Exit.CONFIG, "a value in a settings file is wrong"),
    "R0022": Code(Exit.IO, "the log file cannot be written"),
    "R0023": Code(Exit.USAGE, "--query is wrong, or its result does not suit the format"),
    "R0024": Code(Exit.USAGE, "a file of the new project exists already"),
    "R0025": Code(Exit.IO, "the new project cannot be written"),
    "R0026": Code(Exit.CONFIRM, "an answer is missing"),
    # R01xx spec
    "R0100": Code(Exit.IO, "the spec cannot be read"),
    "R0101": Code(Exit.BAD_INPUT, "the spec is not YAML"),
    "R0102": Code(Exit.BAD_INPUT, "wrong apiVersion or kind"),
    "R0103": Code(Exit.BAD_INPUT, "a required field is missing"),
    "R0104": Code(Exit.BAD_INPUT, "unknown field"),
    "R0105": Code(Exit.BAD_INPUT, "a field has the wrong type or value"),
    "R0106": Code(Exit.BAD_INPUT, "a field is not supported by this version yet"),
    "R0107": Code(Exit.BAD_INPUT, "a duration is wrong"),
    "R0108": Code(Exit.BAD_INPUT, "a count or percent is wrong"),
    "R0109": Code(Exit.BAD_INPUT, "a selector is wrong"),
    "R0110": Code(Exit.BAD_INPUT, "a name is wrong"),
    "R0111": Code(Exit.BAD_INPUT, "the spec contains a tag, an alias or a second document"),
    "R0112": Code(Exit.BAD_INPUT, "the input contains a secret"),
    "R0113": Code(Exit.BAD_INPUT, "the public key file is wrong"),
    "R0114": Code(Exit.BAD_INPUT, "a path leaves the project"),
    "R0115": Code(Exit.BAD_INPUT, "waves contradict each other"),
    "R0116": Code(Exit.DONE, "the file is world-writable"),
    "R0117": Code(Exit.IO, "the working directory cannot be used"),
    "R0118": Code(Exit.DONE, "the name of a variable is similar to a setting"),
    "R0119": Code(Exit.BAD_INPUT, "the file is a plan, not a spec"),
    "R0120": Code(Exit.BAD_INPUT, "the last wave has a bake or a gate"),
    "R0130": Code(Exit.BAD_INPUT, "a budget limits nothing"),
    "R0133": Code(Exit.BAD_INPUT, "a gate is wrong"),
    "R0134": Code(Exit.BAD_INPUT, "a gate contains a secret or sends one unencrypted"),
    "R0135": Code(Exit.BAD_INPUT, "no wave asks the gates"),
    "R0136": Code(Exit.BAD_INPUT, "onFailure is incomplete or contradicts itself"),
    "R0139": Code(Exit.BAD_INPUT, "the time zone is unknown"),
    "R0140": Code(Exit.BAD_INPUT, "a window rule is wrong"),
    "R0141": Code(Exit.BAD_INPUT, "the calendar cannot be read"),
    "R0142": Code(Exit.BAD_INPUT, "a window is shorter than a restart may take"),
    "R0150": Code(Exit.USAGE, "an override cannot be applied"),
    "R0151": Code(Exit.USAGE, "an override needs a reason"),
    "R0160": Code(Exit.BAD_INPUT, "a cron expression is wrong"),
    "R0162": Code(Exit.BAD_INPUT, "catchUp is out of range"),
    "R0163": Code(Exit.BAD_INPUT, "a placeholder in the key pair is unknown"),
    "R0164": Code(Exit.BAD_INPUT, "the spec has no schedule"),
    # R02xx inventory
    "R0200": Code(Exit.IO, "an inventory file cannot be read"),
    "R0201": Code(Exit.BAD_INPUT, "an inventory file has the wrong encoding or form"),
    "R0202": Code(Exit.BAD_INPUT, "a column is missing, unknown or duplicated"),
    "R0203": Code(Exit.BAD_INPUT, "an instance id is malformed"),
    "R0204": Code(Exit.BAD_INPUT, "a region is missing or unknown"),
    "R0205": Code(Exit.BAD_INPUT, "rows contradict each other"),
    "R0206": Code(Exit.BAD_INPUT, "an inventory file is empty"),
    "R0207": Code(Exit.BAD_INPUT, "an inventory file exceeds a limit"),
    "R0208": Code(Exit.DONE, "rows were merged or columns ignored"),
    "R0209": Code(Exit.BAD_INPUT, "an inventory file changed while it was read"),
    "R0210": Code(Exit.BAD_INPUT, "no instance was found"),
    "R0211": Code(Exit.DENIED, "an empty listing was not accepted"),
    "R0212": Code(Exit.CONFLICT, "far fewer instances than last time"),
    "R0213": Code(Exit.CONFLICT, "the pages of a listing contradict each other"),
    "R0214": Code(Exit.BAD_INPUT, "a live source cannot be read offline"),
    "R0215": Code(Exit.BAD_INPUT, "the listing is incomplete"),
    "R0216": Code(Exit.DONE, "an incomplete listing was accepted"),
    "R0217": Code(Exit.BAD_INPUT, "a field that affects the plan has an unknown format"),
    # R03xx plan
    "R0301": Code(Exit.DONE, "instances left out because rotation ends password login"),
    "R0302": Code(Exit.DONE, "stopped instances will be started"),
    "R0303": Code(Exit.DONE, "password login is lost"),
    "R0304": Code(Exit.DONE, "duplicate rows were merged"),
    "R0305": Code(Exit.DONE, "an exclusion has expired"),
    "R0306": Code(Exit.DONE, "the plan is not applyable"),
    "R0307": Code(Exit.DONE, "onUnknown may restart twice or assumes success"),
    "R0308": Code(Exit.DONE, "key pairs will be imported"),
    "R0309": Code(Exit.DONE, "a budget of one restarts one instance at a time"),
    "R0312": Code(Exit.BAD_INPUT, "a budget or wave rounds down to 0"),
    "R0313": Code(Exit.BAD_INPUT, "more targets than maxInstances"),
    "R0314": Code(Exit.BAD_INPUT, "the key pair exists with another public key"),
    "R0315": Code(Exit.DONE, "targets already have the key and will be restarted again"),
    "R0316": Code(Exit.DONE, "empty waves are left out"),
    "R0317": Code(Exit.DONE, "selectors were evaluated without any tags"),
    "R0320": Code(Exit.IO, "the plan file cannot be read"),
    "R0321": Code(Exit.BAD_INPUT, "this version cannot read the plan"),
    "R0322": Code(Exit.BAD_INPUT, "the plan contradicts itself"),
    "R0323": Code(Exit.DONE, "instances without a former key"),
    "R0324": Code(Exit.DONE, "former key pairs were deleted or changed"),
    "R0325": Code(Exit.DONE, "instances no longer have the run's key pair"),
    "R0326": Code(Exit.DONE, "a former key pair does not exist: an undo is not possible"),
    "R0327": Code(Exit.BAD_INPUT, "no budget limits how many of some targets are down"),
    "R0328": Code(Exit.DONE, "a budget has no members among the targets"),
    "R0343": Code(Exit.CONFIG, "a gate cannot be asked from this machine"),
    "R0344": Code(Exit.DONE, "the plan has fewer targets than onFailure.minSample"),
    "R0345": Code(Exit.BAD_INPUT, "no window is left for the plan"),
    "R0346": Code(Exit.DONE, "the window is closed now"),
    "R0347": Code(Exit.DONE, "a calendar has no events for a year"),
    "R0350": Code(Exit.DONE, "instances left out: their last rotation is unproven"),
    "R0351": Code(Exit.CONFIG, "a program that `verify` runs is missing"),
    "R0360": Code(Exit.DONE, "dates were filled in to the name of the key pair"),
    "R0361": Code(Exit.DONE, "the public key of the next tick is missing"),
    "R0362": Code(Exit.DONE, "the key pair of a schedule has the same name at each tick"),
    "R0365": Code(Exit.USAGE, "a plan that its spec alone does not give cannot be compared live"),
    "R0370": Code(Exit.DONE, "the machine that runs rollout is a target"),
    "R0371": Code(Exit.DONE, "a rule of `last` matches no target"),
    "R0372": Code(Exit.CONFLICT, "the plan restarts this machine before other targets"),
    # R04xx credentials, permissions, API
    "R0401": Code(Exit.DENIED, "no credentials"),
    "R0402": Code(Exit.DENIED, "the credentials are not accepted"),
    "R0403": Code(Exit.DENIED, "not permitted"),
    "R0404": Code(Exit.DENIED, "the service does not accept the signing time"),
    "R0405": Code(Exit.DENIED, "the plan is for another account"),
    "R0406": Code(Exit.DENIED, "the credential source is not supported"),
    "R0407": Code(Exit.DENIED, "the credential settings are incomplete or contradict each other"),
    "R0408": Code(Exit.DENIED, "credentials would be sent unencrypted to a loopback address"),
    "R0409": Code(Exit.DENIED, "the clock differs from the service's by more than 24 hours"),
    "R0410": Code(Exit.FAILED, "the service cannot be reached"),
    "R0411": Code(Exit.FAILED, "the service returned an error"),
    "R0412": Code(Exit.FAILED, "the service sent an unreadable reply"),
    "R0413": Code(Exit.DENIED, "the permission to restart could not be verified"),
    "R0414": Code(Exit.DENIED, "the clock differs from the service's by more than 15 minutes"),
    "R0415": Code(Exit.DONE, "the credentials expire soon"),
    "R0416": Code(Exit.DONE, "the policy is longer than RAM accepts"),
    "R0417": Code(Exit.DENIED, "the safety policy of the aliyun CLI denies an action"),
    "R0418": Code(Exit.DENIED, "the safety policy of the aliyun CLI is damaged"),
    "R0420": Code(Exit.DONE, "the clock differs from the service's by more than a minute"),
    "R0421": Code(Exit.DONE, "calls go to a host outside the service's domain"),
    # R05xx run and instances
    "R0145": Code(Exit.BAD_INPUT, "not a login that can be probed"),
    "R0166": Code(Exit.BAD_INPUT, "a verifier key file is not acceptable"),
    "R0167": Code(Exit.BAD_INPUT, "`approvals` contradicts itself"),
    "R0168": Code(Exit.BAD_INPUT, "a receiver of `notify` is not acceptable"),
    "R0349": Code(Exit.CONFIG, "an identity for `verify` is missing"),
    "R0363": Code(Exit.BAD_INPUT, "too few persons may approve the plan"),
    "R0501": Code(Exit.HALTED, "restarts are in doubt"),
    "R0502": Code(Exit.HALTED, "the service refuses the requests"),
    "R0503": Code(Exit.HALTED, "the service is no longer reachable"),
    "R0504": Code(Exit.HALTED, "too many instances failed"),
    "R0505": Code(Exit.HALTED, "the process that drives the run does not take commands"),
    "R0506": Code(Exit.HALTED, "the run waits for an operator's decision"),
    "R0507": Code(Exit.HALTED, "an operator paused the run"),
    "R0508": Code(Exit.HALTED, "a gate waits for a promotion"),
    "R0509": Code(Exit.HALTED, "the run is paused"),
    "R0510": Code(Exit.SOME_FAILED, "the key was not attached"),
    "R0511": Code(Exit.SOME_FAILED, "the instance was not Running in time"),
    "R0512": Code(Exit.SOME_FAILED, "stranded: key attached, not in force"),
    "R0522": Code(Exit.HALTED, "a gate did not open"),
    "R0524": Code(Exit.USAGE, "the plan or run has no such instance or wave"),
    "R0526": Code(Exit.HALTED, "the window is closed"),
    "R0527": Code(Exit.HALTED, "the plan has no later window"),
    "R0528": Code(Exit.HALTED, "an instance of the first wave refuses the new key"),
    "R0529": Code(Exit.SOME_FAILED, "no login proved the new key"),
    "R0540": Code(Exit.USAGE, "no such schedule"),
    "R0541": Code(Exit.HALTED, "the spec's schedule changed after it was added"),
    "R0542": Code(Exit.HALTED, "a scheduled plan needs an operator"),
    "R0543": Code(Exit.USAGE, "no ticks, or too many, to backfill"),
    "R0545": Code(Exit.FAILED, "messages were not delivered"),
    "R0546": Code(Exit.DONE, "the address or the secret of a receiver is missing"),
    "R0547": Code(Exit.DONE, "notifications stopped"),
    # R06xx conflict, drift, lock
    "R0601": Code(Exit.CONFLICT, "the plan has expired, or was created in the future"),
    "R0602": Code(Exit.CONFLICT, "the plan was already applied, or a run of it is open"),
    "R0603": Code(Exit.CONFLICT, "another run holds the lock"),
    "R0604": Code(Exit.CONFLICT, "the plan is not applyable"),
    "R0605": Code(Exit.CONFLICT, "foreign keys: another operator attached a third key"),
    "R0606": Code(Exit.CONFLICT, "the key pair is missing or has changed"),
    "R0607": Code(Exit.CONFLICT, "the fleet drifted too far from the plan"),
    "R0608": Code(Exit.CONFLICT, "the run does not accept this command now"),
    "R0610": Code(Exit.CONFLICT, "another operator rotates the same instances"),
    "R0611": Code(Exit.CONFLICT, "the run is not closed"),
    "R0612": Code(Exit.CONFLICT, "the key pair is in use"),
    "R0613": Code(Exit.CONFLICT, "a lost restart may still take effect"),
    "R0614": Code(Exit.CONFLICT, "a run changed targets after the plan was created"),
    "R0615": Code(Exit.CONFLICT, "the last rotation of targets is unproven"),
    "R0616": Code(Exit.HALTED, "the wave that --until-wave names is closed"),
    "R0617": Code(Exit.CONFLICT, "none of the run's instances exists there"),
    "R0618": Code(Exit.CONFLICT, "another run holds the lease of the region"),
    "R0619": Code(Exit.CONFLICT, "the lease of a region was lost"),
    "R0620": Code(Exit.CONFLICT, "a run of another runs directory attaches the same key pair"),
    "R0621": Code(Exit.DONE, "the key pairs are not marked for other operators"),
    "R0630": Code(Exit.CONFLICT, "the schedule exists"),
    "R0631": Code(Exit.CONFLICT, "another process ended the tick"),
    "R0634": Code(Exit.INTEGRITY, "the journal of a schedule is damaged"),
    # R07xx confirmation
    "R0701": Code(Exit.CONFIRM, "a confirmation is missing"),
    "R0702": Code(Exit.CONFIRM, "the confirmation does not match"),
    "R0704": Code(Exit.CONFIRM, "the plan lacks approvals"),
    "R0705": Code(Exit.CONFIRM, "the key may not approve this plan"),
    "R0706": Code(Exit.CONFIRM, "a private key file cannot be used"),
    "R0707": Code(Exit.CONFIRM, "the author may not approve the plan"),
    "R0708": Code(Exit.IO, "an approval cannot be read"),
    # R08xx disk and journal writing
    "R0801": Code(Exit.IO, "the journal cannot be written"),
    "R0802": Code(Exit.IO, "the run directory cannot be used"),
    "R0803": Code(Exit.IO, "the file that `--out` names cannot be saved"),
    "R0804": Code(Exit.IO, "the result cannot be written"),
    "R0806": Code(Exit.IO, "the result was not read"),
    # R09xx integrity
    "R0901": Code(Exit.INTEGRITY, "the plan file was changed"),
    "R0902": Code(Exit.INTEGRITY, "the journal is missing or belongs to another run"),
    "R0903": Code(Exit.INTEGRITY, "a journal line breaks the hash chain"),
    "R0904": Code(Exit.INTEGRITY, "a journal line cannot be read"),
    "R0905": Code(Exit.INTEGRITY, "the journal violates a rule of the run"),
    "R0906": Code(Exit.INTEGRITY, "another process took over the run, or its files were replaced"),
    "R0907": Code(Exit.INTEGRITY, "the journal lacks the line that --head names"),
    "R0910": Code(Exit.INTEGRITY, "an approval is not valid"),
}
