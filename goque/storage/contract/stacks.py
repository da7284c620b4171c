"""What people and fetchers ask about the stacks of running tasks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

import msgspec

from goque.task_row import Token


class StackRequest(msgspec.Struct, frozen=True):
    """A request for the stack of a running task."""

    id: str
    task_id: str


class ClaimNews(msgspec.Struct, frozen=True):
    """What others have written about the claims of a node.

    Attributes:
        changed: claims whose task is neither pending nor processing any more.
        stack_requests: requests for stacks that have no answer, of all types of the node.
    """

    changed: list[Token]
    stack_requests: list[StackRequest]


class Stacks(Protocol):
    """Carry a request for a stack to the node that runs the task, and the answer back."""

    @abstractmethod
    def ask_for_stack(self, request: StackRequest, *, task_type: str, owner: str) -> None:
        """Ask the owner of a claim for the stack of its task; the fetchers of the type are woken up."""

    @abstractmethod
    def answer_stacks(self, answers: Sequence[tuple[str, str]]) -> None:
        """Write answers, each with the id of its request; a request that is gone or answered stays as it is."""

    @abstractmethod
    def stack_answer(self, request_id: str) -> str | None:
        """Return the answer to a request, None while there is none."""

    @abstractmethod
    def forget_stack_request(self, request_id: str) -> None:
        """Delete a request and its answer."""
