"""The query string of the tasks' page: parsed strictly, and written for links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from starlette.datastructures import ImmutableMultiDict

from goque.describe.limit_words import shown_key
from goque.describe.status_words import word_with_status
from goque.errors import GoqueError
from goque.identifiers import is_task_id
from goque.storage.search_types import TaskSearch
from goque.task_row import TaskStatus
from goque.task_rules.checks import MAX_NAME_LENGTH, is_storable

PERIODS: Final = {"15m": 900, "1h": 3600, "6h": 6 * 3600, "24h": 86400, "7d": 7 * 86400}
MAX_TEXT: Final = 500
MAX_TYPES: Final = 500
OLDEST: Final = "oldest"
_GREATEST: Final = 16**32 - 1
EXACT: Final = ("type", "limit_key")
"""The filters in which white space around the text counts."""


class BadQueryError(GoqueError):
    """A wrong filter or page; the message says what is valid."""


@dataclass(frozen=True)
class Query:
    """The filters of the tasks' page, and the search that they describe.

    Attributes:
        search: what to look for.
        fields: the filters as they were given, and the order.
        before: the id behind which the page begins.
        top: the first task of the list when somebody opened it; newer ones are not shown.
    """

    search: TaskSearch
    fields: Mapping[str, Any]
    before: str | None = None
    top: str | None = None

    @property
    def is_filtered(self) -> bool:
        """Return whether any filter is set."""
        return any(value for name, value in self.fields.items() if name != "sort")

    @property
    def is_oldest_first(self) -> bool:
        """Return whether the oldest tasks come first."""
        return self.fields.get("sort") == OLDEST

    def link(self, **changes: Any) -> str:
        """Return the query with some filters changed, back on its first page unless `before` is given."""
        fields = {name: value for name, value in (dict(self.fields) | changes).items() if value}
        return urlencode(fields, doseq=True)

    def pinned(self) -> str:
        """Return the query with the types that it stands for now; an action changes no tasks of other ones."""
        return self.link(type="", types=self.search.types) if self.search.types else self.link()

    def toggled(self, status: str) -> str:
        """Return the query with one status added or removed."""
        now = list(self.fields["status"])
        return self.link(status=[one for one in now if one != status] if status in now else [*now, status])


def read_query(params: ImmutableMultiDict[str, str], now: datetime) -> Query:
    """Read the filters of a page.

    Raises:
        BadQueryError: one of them is not valid.
    """
    text = {name: _text(params, name) for name in ("type", "external_id", "limit_key", "failure", "error")}
    types = () if text["type"] else _types(params)
    statuses = read_statuses(params.getlist("status"))
    period, since, until = (params.get(name, "").strip() for name in ("period", "from", "until"))
    if period and period not in PERIODS:
        raise BadQueryError(f"{period!r:.80} is no period; there is {', '.join(PERIODS)}")
    created_from = now - timedelta(seconds=PERIODS[period]) if period else _instant("from", since)
    created_before = None if period else _instant("until", until)
    if created_from and created_before and created_from >= created_before:
        raise BadQueryError("'from' is later than 'until'; exchange them")
    sort = params.get("sort", "")
    if sort not in ("", OLDEST):
        raise BadQueryError(f"{sort!r:.80} is no order; there is {OLDEST}, and without it newest")
    return Query(
        TaskSearch(
            task_type=text["type"] or None,
            types=types,
            statuses=statuses,
            external_id=text["external_id"] or None,
            limit_key=text["limit_key"] or None,
            failure=text["failure"] or None,
            error=text["error"] or None,
            created_from=created_from,
            created_before=created_before,
        ),
        {
            **text,
            "types": types,
            "status": tuple(status.value for status in statuses),
            "period": period,
            "from": "" if period else since,
            "until": "" if period else until,
            "sort": sort,
        },
        _id(params, "before"),
        _id(params, "top"),
    )


def _types(params: ImmutableMultiDict[str, str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(params.getlist("types")))
    if len(names) > MAX_TYPES or not all(
        0 < len(one) <= MAX_NAME_LENGTH and is_storable(one) for one in names
    ):
        raise BadQueryError(f"types must be up to {MAX_TYPES} texts of at most {MAX_NAME_LENGTH} characters")
    return names


def _id(params: ImmutableMultiDict[str, str], name: str) -> str | None:
    text = params.get(name, "").lower() or None
    if text is not None and not is_task_id(text):
        raise BadQueryError(f"{text!r:.80} is no page; start again from the newest tasks")
    return text


def id_after(task_id: str) -> str:
    """Return the next id in order, the same for the greatest one."""
    digits = f"{min(int(task_id.replace('-', ''), 16) + 1, _GREATEST):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def read_statuses(names: Sequence[str]) -> tuple[TaskStatus, ...]:
    """Return the statuses that a query names. Raises BadQueryError for another word."""
    for name in names:
        if name not in tuple(TaskStatus):
            raise BadQueryError(f"{name!r:.80} is no status; there is {', '.join(TaskStatus)}")
    return tuple(TaskStatus(name) for name in dict.fromkeys(names))


def in_words(search: TaskSearch) -> str:
    """Describe a search in words."""
    parts = [f"that are {' or '.join(map(word_with_status, search.statuses))}"] if search.statuses else []
    parts += [f"of type {search.task_type}"] if search.task_type else []
    parts += [f"of the types {', '.join(search.types)}"] if search.types else []
    parts += [f"with external id {search.external_id}"] if search.external_id else []
    parts += [f"with the key {shown_key(search.limit_key)}"] if search.limit_key else []
    parts += [f"of the failures {search.failure}"] if search.failure else []
    parts += [f"with “{search.error}” in their errors"] if search.error else []
    parts += [f"created since {search.created_from:%Y-%m-%d %H:%M} UTC"] if search.created_from else []
    parts += [f"created before {search.created_before:%Y-%m-%d %H:%M} UTC"] if search.created_before else []
    return ", ".join(parts)


def _text(params: ImmutableMultiDict[str, str], name: str) -> str:
    value = params.get(name, "")
    value = value if name in EXACT else value.strip()
    longest = MAX_TEXT if name == "error" else MAX_NAME_LENGTH
    if len(value) > longest or not is_storable(value):
        raise BadQueryError(f"{name} must be text of at most {longest} characters")
    return value


def _instant(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadQueryError(
            f"{name} must be a time such as 2026-11-23T21:00, in UTC, not {text!r:.80}"
        ) from None
