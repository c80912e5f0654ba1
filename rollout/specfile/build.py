"""Convert a validated form to the `Spec` that the planner reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from rollout.model import selector, spec, time
from rollout.model.gate import AnyGate, ExecGate, HttpGate, PrometheusGate
from rollout.model.windows import Windows
from rollout.specfile import models, source_forms
from rollout.specfile.gate_forms import (
    ExecGateForm,
    GateForm,
    HttpGateForm,
    PrometheusGateForm,
)
from rollout.specfile.window_forms import WindowsForm


def build(form: models.KeyRotation, text: str) -> spec.Spec:
    """Return the spec of a form. `text` is the text of the file."""
    wanted = form.spec
    return spec.Spec(
        name=form.metadata.name,
        labels=dict(form.metadata.labels),
        key_pair=spec.KeyPairSpec(
            wanted.key_pair.name, wanted.key_pair.public_key, wanted.key_pair.ensure
        ),
        inventory=tuple(_source(source) for source in wanted.inventory),
        text=text,
        exclude=tuple(_exclude(rule) for rule in wanted.exclude),
        allow_password_loss=wanted.allow_password_loss,
        restart=spec.Restart(
            stopped=wanted.restart.stopped,
            calls=wanted.restart.calls,
            timeout_ms=time.parse_duration(wanted.restart.timeout),
            settle_window_ms=time.parse_duration(wanted.restart.settle_window),
        ),
        budgets=tuple(
            spec.Budget(
                each.by,
                spec.parse_amount(each.max_down) if each.max_down else None,
                each.at_least,
                each.restarts_per_10m,
            )
            for each in wanted.budgets
        ),
        waves=tuple(_wave(wave) for wave in wanted.waves),
        on_failure=_on_failure(wanted),
        gates=tuple(_gate(gate) for gate in wanted.gates),
        on_unknown=wanted.on_unknown,
        limits=_limits(wanted.limits),
        notify=tuple(one.built() for one in wanted.notify),
        approvals=wanted.approvals.built() if "approvals" in wanted.model_fields_set else None,
        verify=wanted.verify.built() if "verify" in wanted.model_fields_set else None,
        windows=_windows(wanted.windows),
        schedule=wanted.schedule.built() if "schedule" in wanted.model_fields_set else None,
        last=tuple(_last(rule) for rule in wanted.last),
    )


def _source(form: source_forms.SourceForm) -> spec.Source:
    if isinstance(form, source_forms.EcsForm):
        return spec.EcsSource(tuple(dict.fromkeys(form.regions)), _selector(form.select))
    columns = {}
    if isinstance(form, source_forms.CsvForm):
        columns = form.columns.model_dump(by_alias=True, exclude_defaults=True)
    regions = tuple(dict.fromkeys(form.regions)) if isinstance(form, source_forms.IdsForm) else ()
    select = _selector(form.select)
    return spec.FileSource(form.source, form.path, columns, form.region, select, regions)


def _exclude(form: models.ExcludeForm) -> spec.Exclude:
    return spec.Exclude(
        reason=form.reason,
        select=_selector(form.select),
        instances=frozenset(form.instances),
        until=_end_of_day(form.until) if form.until else None,
    )


def _last(form: models.LastForm) -> spec.Last:
    return spec.Last(_selector(form.select), frozenset(form.instances), form.reason)


def _wave(form: models.WaveForm) -> spec.WaveSpec:
    whole = form.size in ("cover", "rest")
    kind = spec.WaveKind(form.size) if whole else spec.WaveKind.AMOUNT
    amount = None if whole else spec.parse_amount(form.size)
    return spec.WaveSpec(form.name, kind, amount, time.parse_duration(form.bake), form.gate)


def _on_failure(wanted: models.SpecForm) -> spec.OnFailure | None:
    """Return the limits of failures; None where the spec has none."""
    if "on_failure" not in wanted.model_fields_set:
        return None
    form = wanted.on_failure
    share = spec.parse_amount(form.failed_percent).share_ppm if form.failed_percent else 0
    return spec.OnFailure(form.failed, share or 0, form.min_sample, form.strict, form.quarantine)


def _windows(form: WindowsForm) -> Windows | None:
    if not form.time_zone:
        return None
    return Windows(
        time_zone=form.time_zone,
        allow=tuple(rule.rule() for rule in form.allow),
        deny=tuple(rule.rule() for rule in form.deny if not rule.calendar),
        calendars=tuple(dict.fromkeys(rule.calendar for rule in form.deny if rule.calendar)),
        on_close=form.on_close,
    )


def _gate(form: GateForm) -> AnyGate:
    times = {
        "timeout_ms": time.parse_duration(form.timeout),
        "every_ms": time.parse_duration(form.every),
        "wait_ms": time.parse_duration(form.wait_at_most),
    }
    match form:
        case HttpGateForm():
            equals = json.dumps(form.equals, ensure_ascii=False) if form.query else ""
            return HttpGate(
                url=form.http,
                expect=form.expect,
                query=form.query,
                equals=equals,
                headers=form.headers,
                **times,
            )
        case ExecGateForm():
            return ExecGate(argv=tuple(form.exec), env=tuple(form.env), **times)
        case PrometheusGateForm():
            return PrometheusGate(
                url=form.prometheus,
                query=form.query,
                wanted=form.wanted,
                headers=form.headers,
                **times,
            )


def _limits(form: models.LimitsForm) -> spec.Limits:
    leave = 0 if form.leave_quota == "0%" else spec.parse_amount(form.leave_quota).share_ppm
    return spec.Limits(leave or 0, form.max_instances or None, form.max_exposed)


def _selector(text: str) -> selector.Selector | None:
    return selector.parse(text) if text else None


def _end_of_day(text: str) -> time.Instant:
    """Return the end of a date in UTC: the day itself is included."""
    day = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int((day + timedelta(days=1)).timestamp()) * 1000
