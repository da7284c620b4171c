"""Answer questions of runs about their steps: lock their tasks, record, begin sleeps and waits, read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from goque.steps.question import Answer, Ask, Progress, Question, State
from goque.storage.sql.batches import claims_by_owner
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.recorded_steps.decisions import (
    KNOWN,
    LOST,
    MAX_PAGE_ROWS,
    READS,
    Found,
    Key,
    Saved,
    decide,
    keys_of,
    refusal,
    rows_of_page,
)
from goque.storage.sql.session import Session
from goque.task_row import HAS_STEPS, Token
from goque.task_rules.checks import is_storable
from goque.task_rules.error_lines import printable

Asked = tuple[Token, Question]

MOST_RECORDS: Final = 5_000
"""How many steps one statement inserts."""

NOT_TAKEN: Final = Answer(State.REFUSED, text="a constraint of the table goque_step refuses it")

MAX_NOTE_BYTES: Final = 1_000

encode_json: Final = msgspec.json.Encoder().encode


class StepAnswers:
    """The statements in their order, for one dialect.

    Args:
        dialect: the dialect.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._sql = dialect.sql.recorded_steps

    def answer(self, session: Session, asked: Sequence[Asked]) -> list[Answer]:
        """Answer questions in a transaction of its own: first what is written, then what is read."""
        held = self._hold(session, (token for token, _ in asked))
        answers = [self._first_answer(token, question, held) for token, question in asked]
        live = [(place, *one) for place, one in enumerate(asked) if answers[place] is KNOWN]
        self._mark(session, {token: held[token] for _, token, one in live if one.ask is not Ask.READ})
        missing = self._record(session, [(token, one) for _, token, one in live if one.ask is Ask.RECORD])
        waiting = [one for one in live if one[2].ask in (Ask.SLEEP, Ask.WAIT)]
        begun = self._begin(session, [(token, question) for _, token, question in waiting])
        for (place, _, _), answer in zip(waiting, begun, strict=True):
            answers[place] = answer
        for place, token, question in live:
            if question.ask is Ask.RECORD and Key(token.task_id, "step", question.name) in missing:
                answers[place] = NOT_TAKEN
            elif question.ask in READS:
                answers[place] = self._read(session, token.task_id, question.name)
        return answers

    def _first_answer(self, token: Token, question: Question, held: dict[Token, int]) -> Answer:
        """Return LOST or REFUSED, and else KNOWN."""
        if token not in held:
            return LOST
        why = refusal(question, self._dialect.largest_batch // 2)
        return Answer(State.REFUSED, text=why) if why else KNOWN

    def write_progress(self, session: Session, reports: dict[Token, Progress]) -> None:
        """Write how far runs are, where their claim holds."""
        held = self._hold(session, reports)
        self._mark(session, held)
        session.run_many(
            self._sql.save_progress,
            [
                _key_params(Key(token.task_id, "progress", ""))
                | {"value": _progress_text(reports[token]), "claims": token.claims}
                for token in held
            ],
        )

    def _hold(self, session: Session, tokens: Iterable[Token]) -> dict[Token, int]:
        """Lock the tasks whose claim holds, in the order of owners and ids, and return their flags."""
        held: dict[Token, int] = {}
        ordered = sorted(set(tokens), key=lambda token: (token.owner, token.task_id, token.claims))
        for owner, claims in claims_by_owner(ordered, self._dialect.moves_at_once):
            params = {"owner": owner, "batch": self._dialect.encode_claims(claims)}
            for raw_id, flags in session.rows(self._sql.hold, params):
                task_id = self._dialect.read_text(raw_id)
                token = Token(task_id, claims[task_id], owner or "")
                held[token] = flags if isinstance(flags, int) else 0
        return held

    def _mark(self, session: Session, held: dict[Token, int]) -> None:
        """Note of tasks that they may have rows, where that is not noted yet."""
        ids = sorted(token.task_id for token, flags in held.items() if not flags & HAS_STEPS)
        if ids:
            session.run(self._sql.mark, {"ids": self._dialect.encode_list(ids)})

    def _record(self, session: Session, records: Iterable[Asked]) -> set[Key]:
        """Insert steps that are not there, and return the keys of those that are not there afterwards either.

        MySQL's INSERT IGNORE leaves out what a constraint of the application's refuses, as it does what is there.
        """
        rows = sorted(
            (
                (
                    token.task_id,
                    question.name,
                    question.value.decode(),
                    token.claims,
                    max(0.0, question.duration),
                )
                for token, question in records
            ),
            key=lambda row: row[:2],
        )
        missing: set[Key] = set()
        for batch in self._batches(rows):
            if session.run(self._sql.insert_steps, {"batch": encode_json(batch).decode()}) < len(batch):
                keys = {Key(row[0], "step", row[1]) for row in batch}
                missing |= keys - self.find(session, keys).keys()
        return missing

    def _batches(self, rows: list[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
        """Split rows so that no statement is larger than the database takes."""
        batch: list[tuple[Any, ...]] = []
        size = 0
        for row in rows:
            if batch and (
                size + len(row[2]) > self._dialect.largest_batch // 2 or len(batch) == MOST_RECORDS
            ):
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += len(row[2]) + 300
        if batch:
            yield batch

    def _begin(self, session: Session, asked: Sequence[Asked]) -> list[Answer]:
        """Begin sleeps and waits that have not begun, and say what is left of them."""
        if not asked:
            return []
        found = self.find(session, {key for token, one in asked for key in keys_of(token.task_id, one)})
        decisions = [decide(token.task_id, question, found, session.now) for token, question in asked]
        saved = {
            decision.saved.key: (decision.saved, token.claims)
            for (token, _), decision in zip(asked, decisions, strict=True)
            if decision.saved is not None
        }
        if saved:
            session.run_many(self._sql.save, [self._save_params(*saved[key]) for key in sorted(saved)])
        return [decision.answer for decision in decisions]

    def _save_params(self, saved: Saved, claims: int) -> dict[str, Any]:
        until = None if saved.until is None else self._dialect.time(saved.until)
        return _key_params(saved.key) | {"value": saved.value, "claims": claims, "until": until}

    def find(self, session: Session, keys: Iterable[Key]) -> dict[Key, Found]:
        """Return the rows that have these keys."""
        text, instant = self._dialect.read_text, self._dialect.read_time
        batch = encode_json(sorted(keys)).decode()
        return {
            Key(text(task_id), text(kind), text(name)): Found(
                self._dialect.read_optional_text(value), None if until is None else instant(until)
            )
            for task_id, kind, name, value, until in session.rows(self._sql.asked, {"batch": batch})
        }

    def _read(self, session: Session, task_id: str, after: str) -> Answer:
        """Return a page of recorded steps. Their sizes are read first: a step's value may have megabytes."""
        params: dict[str, Any] = {"id": task_id, "after": after}
        sizes = session.rows(self._sql.sizes, {**params, "limit": MAX_PAGE_ROWS + 1})
        number = rows_of_page([size or 0 for _, size in sizes])
        is_all = number == len(sizes)
        if not number:
            return KNOWN
        more = MAX_PAGE_ROWS if is_all else 0  # another run's transaction may have recorded one since
        rows = session.rows(self._sql.page, {**params, "limit": number + more})
        text = self._dialect.read_text
        read = ((text(name), b"null" if value is None else text(value).encode()) for name, value in rows)
        steps = tuple((name, value) for name, value in read if is_storable(name))
        is_stuck = (
            not steps or steps[-1][0] <= after
        )  # names that are no text: never read them again and again
        return Answer(State.KNOWN, steps=steps, is_all=is_all or is_stuck)


def _key_params(key: Key) -> dict[str, Any]:
    return {"task_id": key.task_id, "kind": key.kind, "name": key.name}


def _progress_text(progress: Progress) -> str:
    note = printable(progress.note, MAX_NOTE_BYTES)
    return encode_json({"fraction": progress.fraction, "note": note}).decode()
