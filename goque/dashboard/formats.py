"""Formats numbers, times and texts for the pages. No I/O happens here."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from markupsafe import Markup, escape

from goque.describe.status_words import EXPLANATIONS, end_of_run, word_of
from goque.describe.step_words import is_endless
from goque.describe.step_words import percent as percent_done
from goque.describe.task_state import lasting
from goque.task_row import TERMINAL_STATUSES, TaskStatus
from goque.task_rules.error_lines import last_error

MAX_DOCUMENT: Final = 64 * 1024


def visible(text: str) -> str:
    """Escape characters that are invisible or change the text direction; newlines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)


def count(number: float) -> str:
    """Return a whole number with commas: 1,234,567."""
    return f"{number:,.0f}"


def short_count(number: float) -> str:
    """Return a number in at most five characters or so: 950, 12.3k, 4.1M."""
    if number < 10 and number != int(number):
        return f"{number:.1f}" if number >= 0.05 else "<0.1"
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= limit:
            value = number / (1e3 if unit == "k" else limit)
            return f"{value:.0f}{unit}" if value >= 100 else f"{value:.1f}{unit}"
    return f"{number:,.0f}"


def seconds(length: float | None) -> str:
    """Return a duration in a fitting unit: 12 ms, 3.4 s, 5m 10s, 2h 5m."""
    if length is None:
        return ""
    if length < 0.9995:
        return f"{length * 1000:.0f} ms" if length >= 0.00095 or length == 0 else "<1 ms"
    if length < 99.5:
        return f"{length:.1f} s" if length < 9.95 else f"{length:.0f} s"
    whole = round(length)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    if whole < 2 * 86400:
        return f"{whole // 3600}h {whole % 3600 // 60}m"
    return lasting(whole)


def ago(instant: datetime, now: datetime) -> str:
    """Return a time relative to now: `3m ago`, `in 20s`."""
    past = (now - instant).total_seconds()
    if abs(past) < 1:
        return "now"
    return f"{lasting(past)} ago" if past > 0 else f"in {lasting(-past)}"


def clock(instant: datetime) -> str:
    """Return an instant in full, in UTC."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def minute(instant: datetime) -> str:
    """Return an instant in UTC, with seconds only if they are not 0."""
    return (
        f"{instant.astimezone(UTC):{'%a %Y-%m-%d %H:%M:%S' if instant.second else '%a %Y-%m-%d %H:%M'}} UTC"
    )


def coded(text: str) -> Markup:
    """Return a sentence with the text between backticks as code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(visible(part)) if at % 2 else escape(visible(part))
        for at, part in enumerate(text.split("`"))
    )


def iso(instant: datetime) -> str:
    """Return an instant in ISO format."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def memory(size: float | None) -> str:
    """Return bytes in MiB or GiB."""
    if size is None:
        return ""
    return f"{size / 2**20:,.0f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"


def percent(share: float | None) -> str:
    """Return a share in percent."""
    return "" if share is None else f"{share * 100:.0f} %"


def document(raw: bytes | None) -> str:
    """Return JSON text indented; text that is no JSON is unchanged, and long text is cut."""
    if raw is None:
        return ""
    try:
        text = msgspec.json.format(raw, indent=2).decode() if len(raw) <= MAX_DOCUMENT else ""
    except (ValueError, RecursionError, msgspec.MsgspecError):
        text = ""
    text = text or raw[:MAX_DOCUMENT].decode("utf-8", "replace")
    return text if len(raw) <= MAX_DOCUMENT else f"{text}\n… and {len(raw) - MAX_DOCUMENT:,} bytes more"


def last_line(text: str | None) -> str:
    """Return the last line of an errors column."""
    return (text or "").rstrip().rpartition("\n")[2]


def signal_name(number: int | None) -> str:
    """Return `11 (SIGSEGV)`."""
    try:
        return "" if number is None else f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)


def own_id(external_id: str) -> str:
    """Return an external id of the application, empty for one that goque made."""
    return "" if external_id.startswith("internal-") else external_id


def badge(status: str) -> Markup:
    """Return the word for a status as a coloured badge, with the raw status as its title; an unknown one is grey."""
    if status not in tuple(TaskStatus):
        kind, explained = "other", "not a status of goque"
    else:
        kind, explained = status, f"{EXPLANATIONS[TaskStatus(status)]}: {status}"
    word = visible(word_of(status))
    return Markup('<span class="badge {}" title="{}">{}</span>').format(kind, explained, word)


def moment(instant: datetime, now: datetime) -> Markup:
    """Return an instant as relative time, with the full instant as its title."""
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        iso(instant), clock(instant), ago(instant, now)
    )


def full(instant: datetime) -> Markup:
    """Return an instant in full, in UTC; the page's script adds the local time."""
    return Markup('<time class="full" datetime="{}">{}</time>').format(iso(instant), clock(instant))


def due(instant: datetime, now: datetime) -> str | Markup:
    """Return when a waiting task is due, as a moment; `on a signal` if it waits for one without a deadline."""
    return "on a signal" if is_endless(instant, now) else moment(instant, now)


def is_terminal(status: str) -> bool:
    """Return whether a status is terminal."""
    return status in TERMINAL_STATUSES


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "ago": ago,
    "badge": badge,
    "clock": clock,
    "coded": coded,
    "count": count,
    "document": document,
    "due": due,
    "end_of_run": end_of_run,
    "is_terminal": is_terminal,
    "full": full,
    "iso": iso,
    "last_error": last_error,
    "last_line": last_line,
    "memory": memory,
    "minute": minute,
    "moment": moment,
    "own_id": own_id,
    "percent": percent,
    "percent_done": percent_done,
    "seconds": seconds,
    "short_count": short_count,
    "signal_name": signal_name,
    "word": word_of,
}
