"""The text of a timeout, as `errors` has it and as `goque.TaskTimeout` says it."""

from __future__ import annotations

from goque.options import ProcessorOptions


def timeout_text(options: ProcessorOptions, *, has_stalled: bool = False, step: str = "") -> str:
    """Return the error text of a timeout: `task processing timeout: 600s (in step page-17)`.

    Without steps it is the same as in the original.

    Args:
        options: the options of the processor.
        has_stalled: whether `stall_timeout` is over, and not `timeout`.
        step: the names of the steps that ran, empty for none.
    """
    if has_stalled and options.stall_timeout is not None:
        text = f"no progress for {options.stall_timeout:g}s"
    else:
        text = f"task processing timeout: {options.timeout:g}s"
    return f"{text} (in step {step})" if step else text
