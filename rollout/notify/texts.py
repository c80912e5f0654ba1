"""The texts of messages for chats, in English and Chinese. Pure."""

from __future__ import annotations

from rollout.model.notify import Notice, NoticeKind, NoticeLang
from rollout.model.printable import escaped
from rollout.model.time import format_instant

_TEXTS: dict[NoticeLang, dict[NoticeKind, str]] = {
    NoticeLang.EN: {
        NoticeKind.STARTED: "started by {user} on {machine}: {targets:,} targets in {waves} waves",
        NoticeKind.WAVE: "wave {wave} ({number} of {waves}) finished: {counts}; {left:,} left",
        NoticeKind.GATE: "waits at the gate after wave {wave}. Check the wave, then: {command}\n"
        "Plan {plan_digest}",
        NoticeKind.HALTED: "halted, {code}: {detail}\nContinue: {command}",
        NoticeKind.CLOSED: "closed with exit code {exit}: {counts}",
    },
    NoticeLang.ZH: {
        NoticeKind.STARTED: "由 {user} 在 {machine} 启动：{targets:,} 个目标，{waves} 个批次",
        NoticeKind.WAVE: "批次 {wave}（{number}/{waves}）已完成：{counts}；剩余 {left:,} 个实例",
        NoticeKind.GATE: "批次 {wave} 已完成，等待人工确认。请检查，然后执行：{command}\n"
        "计划 {plan_digest}",
        NoticeKind.HALTED: "已停止，{code}：{detail}\n继续执行：{command}",
        NoticeKind.CLOSED: "已结束，退出码 {exit}：{counts}",
    },
}


def text(notice: Notice, lang: NoticeLang) -> str:
    """Return the message: plan, run, what happened, and the time in UTC."""
    counts = notice.data.get("counts")
    joined = ""
    if isinstance(counts, dict):
        joined = ", ".join(f"{number:,} {name}" for name, number in counts.items()) or "0"
    about = _TEXTS[lang][notice.kind].format_map({**notice.data, "counts": joined})
    lines = [escaped(line) for line in about.split("\n")]
    mark = "EMULATOR " if notice.emulated else ""
    head = f"{mark}rollout {notice.plan} · {notice.run} · {format_instant(notice.at)}"
    return "\n".join([head, *lines])
