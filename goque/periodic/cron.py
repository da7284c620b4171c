"""Cron expressions in a time zone, also on days with 23 or 25 hours.

croniter parses the expression and computes local times as if every day had 24 hours. This module turns local times
into instants, by goque's rules for daylight saving time:

- A fixed-time job (`30 2 * * *`) runs once for each local time. A time inside the gap runs at the end of the gap. A
  time that comes twice runs the first time.
- A job whose minute or hour field starts with `*` follows real time: it runs whenever the local
  clock matches.
"""

from __future__ import annotations

import copy
import difflib
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from goque.errors import ConfigurationError

if TYPE_CHECKING:
    from croniter import croniter

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
ANY_DAY: Final = datetime(2024, 1, 1)  # noqa: DTZ001 - local times have no zone here; the zone is applied later
SECOND: Final = timedelta(seconds=1)
STRIDE: Final = timedelta(hours=12)
"""Shorter than the time between any two changes of a zone's offset."""


@dataclass(frozen=True)
class CronSchedule:
    """A schedule from a cron expression: call it with an instant to get the next one after it.

    Args:
        spec: five fields, six with leading seconds, or an alias such as `@hourly`.
        tz: the IANA name of the time zone of the fields.

    Raises:
        ConfigurationError: the expression or the zone is wrong, or the expression never matches.
    """

    spec: str
    tz: str = "UTC"

    def __post_init__(self) -> None:
        _zone(self.tz)
        if _next_local(self.spec, ANY_DAY) is None:
            raise ConfigurationError(
                f"cron expression {self.spec!r} never matches, because there is no such day"
            )

    def __call__(self, after: datetime) -> datetime | None:
        """Return the first instant after `after` (aware), in UTC, or None if none comes within 50 years."""
        if after.tzinfo is None:
            raise ConfigurationError(
                f"call a schedule with a datetime that has a time zone, not the naive {after}"
            )
        zone = _zone(self.tz)
        following = _next_by_wall_clock if _follows_real_time(self.spec) else _next_fixed_time
        return following(self.spec, zone, after.astimezone(UTC))


def _next_fixed_time(spec: str, zone: zoneinfo.ZoneInfo, after: datetime) -> datetime | None:
    """Step through local times until one is later. Their instants never go back, but several can be the same."""
    local = _local(after, zone)
    while (candidate := _next_local(spec, local)) is not None:
        instant = instant_of(candidate, zone)
        if instant > after:
            return instant
        local = candidate
    return None


def _next_by_wall_clock(spec: str, zone: zoneinfo.ZoneInfo, after: datetime) -> datetime | None:
    """Look for a match while the offset is the same, then from the first instant of the next offset."""
    local = _local(after, zone)
    while (candidate := _next_local(spec, local)) is not None:
        instant = after + (candidate - _local(after, zone))
        change = _first_change(after, instant, zone)
        if change is None:
            return instant
        after = change
        local = _local(change, zone) - SECOND
    return None


def instant_of(local: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """Return the instant of a local time: the first of two, or the end of its gap."""
    instant = local.replace(tzinfo=zone).astimezone(UTC)
    if _local(instant, zone) == local:
        return instant
    before_gap = local.replace(tzinfo=zone, fold=1).astimezone(
        UTC
    )  # PEP 495: one is before the change, one after it
    change = _first_change(before_gap, instant, zone)
    return instant if change is None else change


def _first_change(start: datetime, end: datetime, zone: zoneinfo.ZoneInfo) -> datetime | None:
    """Return the first second in (start, end] at which the zone's offset differs from that of start."""
    offset = _offset(start, zone)
    while start < end:
        stop = min(start + STRIDE, end)
        if _offset(stop, zone) != offset:
            return _bisect(start, stop, zone)
        start = stop
    return None


def _bisect(same: datetime, changed: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    offset = _offset(same, zone)
    while changed - same > SECOND:
        middle = same + (changed - same) / 2
        if _offset(middle, zone) == offset:
            same = middle
        else:
            changed = middle
    return changed.replace(microsecond=0)


def _local(instant: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _offset(instant: datetime, zone: zoneinfo.ZoneInfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()


def _zone(name: Any) -> zoneinfo.ZoneInfo:
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            f"tz must be the name of a time zone, such as 'Europe/Prague', not {name!r:.80}"
        )
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        near = difflib.get_close_matches(name, zoneinfo.available_timezones(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "use an IANA name such as 'Europe/Prague'"
        raise ConfigurationError(f"there is no time zone {name!r:.80}; {hint}") from error


def _next_local(spec: str, after: datetime) -> datetime | None:
    walker = copy.copy(_expression(spec))
    try:
        following: datetime = walker.get_next(datetime, start_time=after)
    except (ValueError, OverflowError):
        return None  # no match within 50 years, or none before the year 10000
    return following


def _follows_real_time(spec: str) -> bool:
    minute, hour = _fields(spec)[-5:-3]
    return minute.startswith("*") or hour.startswith("*")


@lru_cache(maxsize=256)
def _expression(spec: str) -> croniter:
    from croniter import CroniterError, croniter  # noqa: PLC0415 - only apps with cron jobs pay for its import

    fields = _fields(spec)
    try:
        return croniter(" ".join(fields), ANY_DAY, second_at_beginning=len(fields) == 6)
    except (CroniterError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"cron expression {spec!r:.80} is wrong: {error}") from error


def _fields(spec: Any) -> list[str]:
    if not isinstance(spec, str) or not spec.isascii():
        raise ConfigurationError(f"a cron expression must be text of five or six fields, not {spec!r:.80}")
    words = spec.split()
    if len(words) == 1 and words[0].startswith("@"):
        if words[0].lower() not in ALIASES:
            hint = "use run_on_start=True" if words[0] == "@reboot" else f"known are {', '.join(ALIASES)}"
            raise ConfigurationError(f"cron expression {spec!r:.80} is unknown; {hint}")
        words = ALIASES[words[0].lower()].split()
    if len(words) not in (5, 6):
        raise ConfigurationError(
            f"cron expression {spec!r:.80} has {len(words)} fields; "
            "write minute, hour, day of month, month, day of week, optionally with seconds before them"
        )
    if any(part.lower().startswith(("h", "r")) for word in words for part in word.split(",")):
        raise ConfigurationError(
            f"cron expression {spec!r:.80} has a random time, which would differ on every node"
        )
    return words
