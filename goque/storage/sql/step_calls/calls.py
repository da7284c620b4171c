"""What fetchers, applications and people ask about recorded steps, each call in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from goque.errors import DatabaseUnavailableError, SchemaError
from goque.flows.withheld_writes import is_withheld
from goque.steps.question import Answer, Progress, Question, State
from goque.storage.contract.step_records import RecordedValues, StepOverview, StepRow
from goque.storage.sql.call_policy import PATIENT_WRITE, PINNED_WRITE, READ, WRITE
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.read_values import read_count, read_number
from goque.storage.sql.recorded_steps.answers import StepAnswers
from goque.storage.sql.runner import PATIENCE
from goque.storage.sql.session import Row, Session
from goque.storage.sql.tasks import SqlTasks
from goque.task_row import Token
from goque.task_rules.checks import is_storable
from goque.task_rules.error_lines import first_line

SHOWN_CHARACTERS: Final = 4_000


class SqlStepRecords(SqlTasks):
    """The part of the contract about recorded steps."""

    def __init__(self, dialect: Dialect, *, patience: float = PATIENCE) -> None:
        super().__init__(dialect, patience=patience)
        self._step_answers = StepAnswers(dialect)

    def answer_steps(
        self, asked: Sequence[tuple[Token, Question]], *, timeout: float | None = None
    ) -> list[Answer]:
        """Answer questions of runs, in one transaction, in their order; if the database rejects one, in several."""
        if not asked:
            return []
        policy = PINNED_WRITE.within(timeout)
        try:
            return self._run(lambda session: self._step_answers.answer(session, asked), policy)
        except (DatabaseUnavailableError, SchemaError):
            raise
        except Exception as error:  # noqa: BLE001 - of any driver: a trigger of the application's raises what it likes
            if len(asked) == 1:
                return [Answer(State.REFUSED, text=first_line(f"{type(error).__name__}: {error}"))]
        middle = len(asked) // 2
        first = self.answer_steps(asked[:middle], timeout=timeout)
        return first + self.answer_steps(asked[middle:], timeout=timeout)

    def record_step(self, token: Token, question: Question, *, conn: Any) -> Answer:
        """Record a step in the transaction of the caller, which commits it or takes it back."""
        return self._run_steps(lambda: self._step_records.record(token, question), WRITE, conn)

    def signal_task(self, task_id: str, name: str, value: bytes, *, conn: Any = None) -> bool:
        """Keep a signal with a task, and let it run now if it waits for that."""
        if is_withheld("signal", task_id):
            return True
        tried_at: list[datetime] = []
        kept = self._run_steps(
            lambda: self._step_records.signal(task_id, name, value, tried_at), PATIENT_WRITE, conn
        )
        if kept.woken is not None:
            self._dialect.nudge({kept.woken})
        return kept.is_new

    def write_progress(self, reports: Sequence[tuple[Token, Progress]]) -> None:
        """Write how far runs are, the last report of each."""
        last = dict(reports)
        if last:
            self._run(lambda session: self._step_answers.write_progress(session, last), PINNED_WRITE)

    def steps_of(self, task_id: str, *, limit: int = 1000) -> list[StepRow]:
        """Read the last `limit` rows of a task, the oldest first."""
        if not self._dialect.is_task_id(task_id):
            return []
        params = {"id": task_id, "limit": limit, "most": SHOWN_CHARACTERS}
        rows = self._run(lambda session: session.rows(self._sql.recorded_steps.latest, params), READ)
        return [self._read_step(row) for row in reversed(rows)]

    def step_overview(self, task_id: str, *, first: int, last: int) -> StepOverview:
        """Read what people see of a task's steps."""
        if not self._dialect.is_task_id(task_id):
            return StepOverview()
        return self._run(lambda session: self._overview(session, task_id, first, last), READ)

    def _overview(self, session: Session, task_id: str, first: int, last: int) -> StepOverview:
        sql = self._sql.recorded_steps
        totals = session.rows(sql.totals, {"id": task_id})
        counts = {self._dialect.read_text(kind): read_count(count) for kind, count, _ in totals}
        seconds = sum(read_number(sum_, 0.0) for _, _, sum_ in totals)
        total = counts.get("step", 0)
        is_whole = total <= first + last
        read = self._rows_of(session, task_id)
        steps = read(sql.first_steps, total if is_whole else first)
        if not is_whole:
            steps += reversed(read(sql.last_steps, last))
        others = read(sql.last_others, last)[::-1]
        return StepOverview(steps, others, counts, seconds)

    def recorded_values(self, task_id: str) -> RecordedValues:
        """Read the whole values of a task's recorded steps and signals."""
        if not self._dialect.is_task_id(task_id):
            return RecordedValues()
        rows = self._run(lambda session: session.rows(self._sql.recorded_steps.values, {"id": task_id}), READ)
        text = self._dialect.read_text
        found: dict[str, dict[str, bytes]] = {"step": {}, "signal": {}}
        for kind, raw_name, value in rows:
            if is_storable(name := text(raw_name)):  # no handler can ask for another one
                found[text(kind)][name] = b"null" if value is None else text(value).encode()
        return RecordedValues(found["step"], found["signal"])

    def _rows_of(self, session: Session, task_id: str) -> Callable[[str, int], list[StepRow]]:
        """Return what reads the rows of a task with one of the statements, up to a limit."""

        def read(sql: str, limit: int) -> list[StepRow]:
            params = {"id": task_id, "most": SHOWN_CHARACTERS, "limit": limit}
            return [self._read_step(row) for row in session.rows(sql, params)]

        return read

    def _read_step(self, row: Row) -> StepRow:
        text, instant = self._dialect.read_text, self._dialect.read_time
        kind, name, value, claims, duration, until, made_at = row
        return StepRow(
            kind=text(kind),
            name=text(name),
            value=self._dialect.read_optional_text(value),
            claims=read_count(claims),
            duration=read_number(duration, None),
            until=None if until is None else instant(until),
            made_at=instant(made_at),
        )
