"""The statements about requests for stacks: the rows of goque_stack. A fetcher reads them with `changed_by_others`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StackStatements:
    """SQL text.

    Attributes:
        delete_old: delete the requests of those who asked and ended before they could delete them.
        ask: insert a request.
        answer: write an answer, if the request is still there and has none.
        read_answer: return the answer of a request, NULL while there is none.
        forget: delete a request with its answer.
    """

    delete_old: str = """
    DELETE FROM goque_stack
    WHERE asked_at < :before"""

    ask: str = """
    INSERT INTO goque_stack (id, task_id, owner, asked_at)
    VALUES (:id, :task_id, :owner, :now)"""

    answer: str = """
    UPDATE goque_stack
    SET answer = :answer
    WHERE id = :id AND answer IS NULL"""

    read_answer: str = """
    SELECT answer
    FROM goque_stack
    WHERE id = :id"""

    forget: str = """
    DELETE FROM goque_stack
    WHERE id = :id"""
