"""Groups of exceptions, as `asyncio.TaskGroup` raises them: what they decide for a task, and what is in them."""

from __future__ import annotations

import functools

from goque.callbacks import Callbacks
from goque.errors import RateLimited, RetryTask, Snooze, TaskCanceled
from goque.steps.pause import StepPause


def leaves_of(error: BaseException) -> list[BaseException]:
    """Return the exceptions in a group and in its groups; of another exception, the exception itself."""
    leaves, waiting = [], [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting += reversed(one.exceptions)
        else:
            leaves.append(one)
    return leaves


def deciding_error(error: BaseException) -> BaseException:
    """Return the exception of goque in a group that decides what happens to the task, else the error itself.

    A TaskCanceled decides over all others, and a RetryTask over errors, since the attempt has failed either way. A
    Snooze, a RateLimited or the pause of a step decides only where nothing failed: such an attempt is not charged,
    which would hide the errors. A RateLimited decides over a Snooze, for it is about other tasks too.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = leaves_of(error)
    for kind in (TaskCanceled, RetryTask):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    if not all(isinstance(leaf, Snooze | RateLimited | StepPause) for leaf in leaves):
        return error
    if pauses := [leaf for leaf in leaves if isinstance(leaf, StepPause)]:
        return functools.reduce(StepPause.beside, pauses)
    return next((leaf for leaf in leaves if isinstance(leaf, RateLimited)), leaves[0])


def may_retry(error: BaseException, callbacks: Callbacks) -> bool:
    """Return whether another attempt may follow an error; after a group, whether one may follow each error in it.

    An option that names the class of the group itself decides first.
    """
    kind = type(error)
    if not isinstance(error, BaseExceptionGroup) or issubclass(kind, callbacks.no_retry_on):
        return callbacks.retries(kind)
    if callbacks.retry_on is not None and issubclass(kind, callbacks.retry_on):
        return True
    return all(callbacks.retries(type(leaf)) for leaf in leaves_of(error))
