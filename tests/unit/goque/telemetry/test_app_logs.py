"""What the app logs: each line once, whatever the app does with logging."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

SAID = "shop = logging.getLogger('shop'); shop.debug('fine'); shop.info('quiet'); shop.warning('loud')\n"


def in_a_process(
    source: str, level: str = "info", *, before_import: str = "", is_in_a_tree: bool = True
) -> list[str]:
    """Run a worker's set-up, with an app that does `before_import`; return what it logs without the clock."""
    configure = f"logs.configure('worker', log_format='console', level='{level}')\n" if is_in_a_tree else ""
    whole = (
        "import logging, logging.config, goque\nfrom goque.telemetry import app_logs, logs\n"
        f"{configure}{before_import}\napp_logs.let_through()\n{configure}{source}"
    )
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True)
    return [line[13:] if line[2:3] == ":" else line for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("level", "lines"),
    [
        ("debug", ["DEBUG worker shop: fine", "INFO  worker shop: quiet", "WARN  worker shop: loud"]),
        ("info", ["INFO  worker shop: quiet", "WARN  worker shop: loud"]),
        ("warning", ["WARN  worker shop: loud"]),
        ("error", []),
    ],
)
def test_it_comes_out_at_the_level_of_the_tree(level: str, lines: list[str]) -> None:
    assert in_a_process(SAID, level) == lines


def test_a_level_that_the_app_sets_is_kept() -> None:
    one = "logging.getLogger('shop').setLevel('WARNING')"
    assert in_a_process(SAID, before_import=one) == ["WARN  worker shop: loud"]
    assert in_a_process(SAID, before_import="logging.getLogger().setLevel('ERROR')") == []


BASIC = "logging.basicConfig(level='INFO', format='%(message)s')"
BY_DICT = (
    "logging.config.dictConfig({'version': 1, 'formatters': {'f': {'format': '%(message)s'}}, 'handlers': "
    "{'h': {'class': 'logging.StreamHandler', 'formatter': 'f'}}, 'root': {'handlers': ['h'], 'level': 'INFO'}})"
)


@pytest.mark.parametrize("when", ["before_import", "source"])
@pytest.mark.parametrize("configuration", [BASIC, BY_DICT])
def test_an_app_that_configures_logging_itself_has_each_line_once(configuration: str, when: str) -> None:
    source = f"{SAID}logging.getLogger('goque.late').error('ours')"
    lines = (
        in_a_process(source, before_import=configuration)
        if when == "before_import"
        else in_a_process(f"{configuration}\n{source}")
    )
    assert lines == ["quiet", "loud", "ERROR worker ours"]


@pytest.mark.parametrize("when", ["before_import", "source"])
def test_the_functions_of_logging_configure_nothing(when: str) -> None:
    source, said = "logging.warning('by hand')\n", ["WARN  worker root: by hand"]
    quiet, loud = "INFO  worker shop: quiet", "WARN  worker shop: loud"
    if when == "before_import":
        assert in_a_process(SAID, before_import=source) == [*said, quiet, loud]
    else:
        assert in_a_process(source + SAID) == [*said, quiet, loud]
    assert in_a_process(f"{source}{BASIC}\n{SAID}") == [*said, "quiet", "loud"]
    assert in_a_process(f"{source}logging.basicConfig()\n{SAID}") == [
        *said,
        "INFO:shop:quiet",
        "WARNING:shop:loud",
    ]


def test_a_configuration_at_the_import_does_not_silence_goque() -> None:
    made = "logging.getLogger('goque.worker')\nlogging.config.dictConfig({'version': 1})"
    assert in_a_process("logging.getLogger('goque.worker').error('ours')", before_import=made) == [
        "ERROR worker ours"
    ]


CONFIGURED = (
    "logging.config.dictConfig({'version': 1, 'handlers': {'goque': {'class': 'goque.LogHandler'}}, "
    "'root': {'handlers': ['goque'], 'level': 'INFO'}, 'loggers': {'httpx': {'level': 'WARNING'}}})"
)


def test_log_handler_gives_an_own_configuration_the_format_of_the_tree() -> None:
    source = f"{SAID}logging.getLogger('httpx').info('chatter')\nlogging.getLogger('goque').info('ours')"
    assert in_a_process(source, before_import=CONFIGURED) == [
        "INFO  worker shop: quiet",
        "WARN  worker shop: loud",
        "INFO  worker ours",
    ]


def test_log_handler_outside_of_a_tree_writes_plain_lines() -> None:
    quiet, loud = in_a_process(SAID, before_import=CONFIGURED, is_in_a_tree=False)
    assert quiet.endswith("INFO shop: quiet")
    assert loud.endswith("WARNING shop: loud")


def on_a_terminal(**environment: str) -> str:
    """Log three lines of a task to a terminal; return what it got."""
    source = (
        "from goque.telemetry import logs\nimport logging\n"
        "logs.configure('fetcher', log_format='console', level='info')\n"
        "log = logging.getLogger('goque')\nlog.info('no fields')\n"
        "for level in (20, 30):\n"
        "    log.log(level, 'ended', extra={'task_id': '01a22952-6dca-7e4c-ae49-1344ac7bee04', 'attempt': 1})\n"
    )
    ours, terminal = pty.openpty()
    base = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    try:
        subprocess.run(
            [sys.executable, "-c", source],
            stderr=terminal,
            check=True,
            env={**base, "TERM": "xterm", **environment},
        )
        os.close(terminal)
        return os.read(ours, 65536).decode().replace("\r\n", "\n")
    finally:
        os.close(ours)


def test_a_terminal_shows_fields_dim_and_ids_short_unless_something_went_wrong() -> None:
    plain, info, warning = on_a_terminal().splitlines()
    assert plain.endswith("INFO  fetcher no fields")
    assert info.endswith("ended\x1b[2m task_id=…1344ac7bee04 attempt=1\x1b[0m")
    assert warning.endswith("ended\x1b[2m task_id=01a22952-6dca-7e4c-ae49-1344ac7bee04 attempt=1\x1b[0m")


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours_shows_what_a_file_has(environment: dict[str, str]) -> None:
    shown = on_a_terminal(**environment)
    assert "\x1b" not in shown
    assert shown.count("task_id=01a22952-6dca-7e4c-ae49-1344ac7bee04") == 2
