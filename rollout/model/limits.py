"""Limits of inventories, plans and runs, with units and reasons.

`ecs.contract` has the limits of the API. Other modules have constants for limits of their own.
"""

from __future__ import annotations

from rollout.model.time import HOUR, MINUTE, SECOND

# ids in one call
ATTACH_IDS_MAX = 50
"""AttachKeyPair takes at most 50 ids (API reference)."""
OBSERVE_IDS_MAX = 100
"""DescribeInstances takes at most 100 ids (API reference)."""
STATUS_IDS_MAX = 50
"""One page of DescribeInstanceStatus holds at most 50 rows (API reference)."""
RESTART_IDS_MAX = 100
"""RebootInstances and StartInstances take at most 100 ids (API reference)."""

# shape of a plan
CELL_INSTANCES_MAX = 1_000
"""Instances of a cell: few enough for memory, enough to amortize the cost of a cell."""
OPEN_INSTANCES_MAX = 64_000
"""Unfinished instances of open cells; above it no further cell opens (limits memory)."""
PLAN_AGE_MAX_MS = 24 * HOUR
"""A plan older than this is stale unless `--max-age` is given."""
INVENTORY_BYTES_MAX = 2 * 1024**3
INVENTORY_LINE_BYTES_MAX = 1024**2
INVENTORY_NESTING_MAX = 64
INVENTORY_ROWS_MAX = 10_000_000
SPEC_BYTES_MAX = 5 * 1024**2
PROBLEMS_SHOWN_MAX = 50
"""All problems of a file are found; this many are printed, then a count."""

# attempts and waits
ATTEMPTS_MAX = 3
"""Attempts per request. A refusal because of throttling or because the instance is busy does
not count (docs/safety.md, I-37)."""
BUSY_PAUSE_BASE_MS = 2 * SECOND
"""The pause after the first refusal of a busy instance, at most; it doubles with each refusal."""
BUSY_PAUSE_CAP_MS = 60 * SECOND
BUSY_WHOLE_MAX = 2
"""A call refused as a whole this many times because an instance is busy is halved from then on, so
that the busy instance does not hold back the others."""
OBSERVE_TICK_MS = 2 * SECOND
"""Observations become due on this common tick, so that calls of 100 ids fill; the API recommends
1-2 s."""
STATUS_LAG_MS = 8 * SECOND
"""Time after a restart in which an observation may still return the Running of before. The real
time is not documented; Terraform's provider waits five seconds."""
STATE_AGE_MAX_MS = 60 * SECOND
"""An effect is judged on a state read at most this long ago; bounds `not_after`."""
RETRY_BASE_MS = 1 * SECOND
RETRY_CAP_MS = 30 * SECOND
KEY_AGE_MAX_MS = 60 * SECOND
"""An attach needs a comparison of the key pair that began at most this long ago."""
CLOCKS_DIFFER_MS = 2 * MINUTE
"""How far the clocks of two machines may differ: each may be a minute from the service's."""
CALL_TIMEOUT_MS = 60 * SECOND
"""No single call may take longer; above every per-action read time-out of `ecs.contract`."""
LEASE_MS = 180 * SECOND
"""The term of a lease: longer than a call, the margin and a state's age together, so that it
shortens no call of a process that renews it."""
LEASE_BEAT_MS = 5 * SECOND
"""Pause between two renewals of a lease."""
LEASE_LIVE_MS = 15 * SECOND
"""A lease that was renewed at most this long ago, by a clock of the same kernel, has a live
holder."""
LEASE_MARGIN_MS = 10 * SECOND
"""How far the steady clocks of two machines may differ over the term of a lease, with room."""
UNKNOWN_CODES_MAX = 3
"""Number of refusals with an unknown code that halts the run."""
SILENCE_MAX_MS = 5 * MINUTE
"""How long observations of one site may have no reply before the run halts: long enough for a
failover or a reloaded proxy. Replies of other sites do not count."""

METADATA_TIMEOUT_MS = 1 * SECOND
"""The metadata service of ECS replies within milliseconds; elsewhere its address never replies."""
API_TIMEOUT_MS = 5 * MINUTE
"""How long a call that changes nothing is retried before a run starts, unless `--api-timeout`
is given. Longer than four minute buckets of throttling."""

# rates
RATE_WINDOW_MS = 10 * MINUTE
"""`restartsPer10m` limits the restarts that begin in any window of this length."""

# number of calls that the core lets wait in one lane at once (adapts between the two)
LANE_CALLS_MIN = 1
LANE_CALLS_START = 16
LANE_CALLS_MAX = 128

# drift
DRIFT_SHARE_PPM = 100_000
"""More than this share of a wave's targets (in millionths) and more than DRIFT_COUNT: stale."""
DRIFT_COUNT = 5

# failures
FAILURES_MIN = 3
"""Fewer failed instances of a wave never halt it while it is open."""
FAILURES_SHARE_PPM = 10_000
"""A wave with at least FAILURES_MIN failures halts when they are this share of its targets (in
millionths)."""

SAMPLE_MIN = 100
"""`onFailure.failedPercent` counts from this many finished instances on, by default."""

COHORT_FAILURES_MIN = 3
"""Fewer failures of one image or zone are not reported as a common cause."""
COHORT_PERCENT = 80
"""The share of all failures that one image or zone must have for such a report."""

QUARANTINE_OTHERS_MIN = 3
"""Instances outside a failing image or zone that must be done before it is held: fewer do not show
that the rest of the fleet works. As many as the failures that `COHORT_FAILURES_MIN` requires.
"""

CONFLICTS_MAX = 5
"""Up to this many instances of a wave with a third key are held and do not halt the run."""
CONFLICTS_SHARE_PPM = 10_000
"""The same for this share of the wave's targets (in millionths); both must be exceeded."""

ELSEWHERE_MAX = 5
"""Up to this many instances of a wave may have the new key without an attach of this run."""
ELSEWHERE_SHARE_PPM = 10_000
"""The same for this share of the wave's targets (in millionths); both must be exceeded."""

# census
CENSUS_EVERY_MS = 10 * MINUTE
"""Pause between two censuses of a wave. A member that is down for so long is not waited for."""
CENSUS_AGAIN_MS = 1 * MINUTE
"""Pause until members that are down are observed again."""
CENSUS_SILENCE_MS = 1 * MINUTE
"""A member counts as down if its region has not answered a census for so long."""
CENSUS_CALLS_MAX = 4
"""Open calls of a census in one region: observations of targets have twice as many."""

# probes of logins
PROBES_OPEN_MAX = 64
"""Probes that are open at once, in all regions together."""
PROBE_EVERY_MS = 5 * SECOND
"""Longest pause between two login probes of one instance; the first pause is a second."""
PROBE_ATTEMPT_MS = 10 * SECOND
"""How long one connection of a probe may take."""

# defaults of a spec
LOGIN_TIMEOUT_MS = 5 * MINUTE
"""How long after its boot an instance may take until a login succeeds."""
SETTLE_WINDOW_MS = 120 * SECOND
RESTART_TIMEOUT_MS = 10 * MINUTE
EXPOSED_MAX = 1_000
LEAVE_QUOTA_PPM = 300_000
BUDGET_PPM = 50_000
DURATION_MAX_MS = 168 * HOUR

# journal
LINE_BYTES_MAX = 60_000
"""A line must fit a C2SP entry bundle, whose lengths have 16 bits."""
EVENT_ORDINALS_MAX = 5_000
"""Ordinals in one event: with eight digits and a comma each they fit a line."""
SEGMENT_BYTES_MAX = 64 * 1024**2
SYNC_EVERY_MS = 1 * SECOND
"""A step without an intent is synced with later ones, but no later than this."""
RESERVE_BYTES = 4 * 1024**2
"""Space reserve: released when the disk is full, so that outcomes can still be written."""

# gates
GATES_MAX = 20
"""Questions of one spec."""
GATE_AGAIN_MS = 1 * MINUTE
"""Pause until a question is asked again after the bake; a shorter `every` applies there too."""
GATE_TIMEOUT_MS = 10 * SECOND
GATE_TIMEOUT_MAX_MS = 1 * MINUTE
GATE_AGE_MAX_MS = 3 * MINUTE
"""An answer counts if it was requested at most this long ago: longer than a pause and two time-outs
together, so that slow answers to several questions are recent at the same time."""
GATE_WAIT_MS = 1 * HOUR
GATE_NAME_MAX = 120
"""Characters of a question in messages."""
GATE_TEXT_MAX = 200
"""Characters of an answer that the journal keeps."""
