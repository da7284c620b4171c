"""What is said of an app whose import ends its process or takes long."""

from __future__ import annotations

from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.nursery.import_report import import_ended, import_is_slow


def test_an_app_goes_by_its_name_and_a_registry_that_was_handed_over_has_none() -> None:
    assert import_ended("shop:registry", ExitCause(None, 11)) == (
        "app 'shop:registry' cannot be imported: the process that imported it ended by signal 11 (SIGSEGV)"
    )
    assert import_ended("", ExitCause(3, None)).startswith("the registry cannot be imported: ")


def test_a_slow_import_names_the_process_to_look_at() -> None:
    assert "after 10s, in process 4711" in import_is_slow("shop:registry", 4711)
