"""What the calls of a handler about its steps have in common: the run, its names, and the decoders of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goque.errors import GoqueError
from goque.steps.run import StepRun
from goque.steps.value import decoder_of, returned_type


class RunsSteps:
    """A task whose handler may run here.

    Attributes:
        step_run: the steps of the run, once the handler has asked for one.
        stepper: makes them; None unless the handler runs.
    """

    __slots__ = ("step_run", "stepper")

    step_run: StepRun | None
    stepper: Callable[[Any], StepRun] | None

    def steps_of_run(self) -> StepRun:
        """Return the steps of the run.

        Raises:
            GoqueError: no handler runs this task here.
        """
        if self.step_run is None:
            if self.stepper is None:
                raise GoqueError(
                    "call steps and progress in the handler of this task, while it runs; "
                    "in a test, run the handler with goque.testing.run_task"
                )
            self.step_run = self.stepper(self)
        return self.step_run

    def end_steps(self) -> None:
        """Take no more calls: the handler has ended."""
        self.stepper = None
        if self.step_run is not None:
            self.step_run.close()

    @property
    def has_recorded_in_transaction(self) -> bool:
        """Whether the run has recorded steps in transactions of its own."""
        return self.step_run is not None and self.step_run.is_in_transactions

    def return_from_steps(self) -> None:
        """Do the same for a handler that has returned.

        Raises:
            StepPause: the handler has something to wait for, and has caught that.
        """
        self.end_steps()
        if self.step_run is not None and self.step_run.pause is not None:
            raise self.step_run.pause.again()


def decoder_for(run: StepRun, name: str, function: Callable[..., Any], wanted: Any) -> Callable[[bytes], Any]:
    """Take the name of a step, and return what decodes its value."""
    run.take(name)
    try:
        return decoder_of(f"step {name!r}", returned_type(name, function) if wanted is None else wanted)
    except BaseException:
        run.fail(name)
        raise


def take_item(run: StepRun, name: str, index: int) -> str:
    """Take the name of the step of one item of a loop, and return it."""
    one = f"{name}-{index}"
    run.take(one)
    return one
