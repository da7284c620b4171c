"""`goque top` without a terminal: its lines, what its keys do, and what becomes of orders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len

from goque.cli.top.command import top
from goque.cli.top.help_lines import COLUMNS, KEYS
from goque.cli.top.keys import names_of
from goque.cli.top.lines import Line, amount, overview_lines, size, span
from goque.cli.top.orders import Answer, Order, answer_to, signal_root
from goque.cli.top.screen import Screen
from goque.describe.node_info import (
    FunctionInfo,
    NodeInfo,
    PoolInfo,
    ProcessInfo,
    RunInfo,
    TypeInfo,
    WorkerInfo,
    encode_info,
)
from goque.describe.overview import Overview, overview
from goque.errors import GoqueError
from goque.storage import open_storage
from goque.storage.contract import NodeRow, QueueDepth
from goque.task_row import TaskRow

NOW = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
TASK_ID = "01a20b6d-f9ad-7bbd-861b-dbe0c9408260"


def workers(count: int = 2) -> tuple[WorkerInfo, ...]:
    busy = WorkerInfo("worker[mail:0]", 101, 60.0, 45 * 2**20, 0.97, runs=(RunInfo(TASK_ID, 8.0),))
    return (busy, *(WorkerInfo(f"worker[mail:{slot}]", 101 + slot) for slot in range(1, count)))


def seen(
    *, paused: bool = False, quiet: bool = False, type_name: str = "mail", silent: float = 2.0, **part: Any
) -> Overview:
    kind = TypeInfo(
        type_name,
        **{
            "slots": 4,
            "living": 3,
            "recent": {"done": 57, "error": 3},
            "recent_run_seconds": 6.0,
            **{name: value for name, value in part.items() if name not in ("workers", "restarts")},
        },
    )
    info = NodeInfo(
        app="shop:registry",
        seconds=7200.0,
        recent_seconds=60.0,
        quiet=quiet,
        types=(kind,),
        pools=(
            PoolInfo(
                type_name,
                restarts=part.get("restarts", {"crash": 3}),
                held=kind.held,
                workers=part.get("workers", workers()),
            ),
        ),
        processes=(ProcessInfo("lease", 99, 60.0, 20 * 2**20, 0.03),),
        restarts={"fetcher": 1},
    )
    row = NodeRow("n1", 7, "alive", "web-1", 42, NOW, NOW - timedelta(seconds=silent), encode_info(info))
    depths = [QueueDepth(type_name, "new", 1234, 90.0), QueueDepth(type_name, "processing", 2)]
    return overview(depths, [type_name], frozenset({type_name} if paused else ()), [row], NOW)


def texts(found: Overview, width: int = 80, **options: Any) -> list[str]:
    return [line.text.rstrip() for line in overview_lines(found, width, **options)]


def screen(found: Overview | None = None) -> Screen:
    made = Screen("sqlite:///goque.db")
    made.take(Answer(found or seen()))
    made.lines(80, 24)
    return made


def selected(shown: Screen, height: int = 24) -> str:
    (line,) = [line for line in shown.lines(80, height) if line.text.startswith("> ")]
    return " ".join(line.text[2:].split())


def failed_task(**fields: Any) -> TaskRow:
    return TaskRow(
        TASK_ID,
        "mail",
        "x",
        b"{}",
        "attempts_left",
        2,
        "attempt 1: a\nattempt 2: boom\n",
        None,
        NOW,
        None,
        NOW,
        **fields,
    )


def test_blocked_tasks_have_a_column_only_where_there_are_any() -> None:
    depths = [QueueDepth("join", "blocked", 3), QueueDepth("mail", "new", 7)]
    found = overview(depths, [], frozenset(), [], NOW)
    assert [line.split()[:5] for line in texts(found)[:3]] == [
        ["TYPE", "BLOCKED", "WAITING", "RETRY", "BUSY"],
        ["join", "3", "0", "0", "0"],
        ["mail", "0", "7", "0", "0"],
    ]
    assert {len(line) for line in texts(found)[:3]} == {80}
    assert "BLOCKED" not in texts(seen())[0]


def test_the_progress_of_a_running_task_is_below_its_worker() -> None:
    run = RunInfo(TASK_ID, 8.0, 0.62, "page 12 \x1b[31m" + "x" * 200)
    one = WorkerInfo("worker[mail:0]", 101, runs=(run,))
    others = tuple(RunInfo(f"{number}{TASK_ID[1:]}", 1.0, 1.5, "half") for number in range(4))
    silent = RunInfo(TASK_ID, 9.0)
    many = WorkerInfo("worker[mail:1]", 102, runs=(silent, *others))
    idle = WorkerInfo("worker[mail:2]", 103, runs=(silent,))
    lines = list(overview_lines(seen(workers=(one, many, idle)), 80))
    bars = [line for line in lines if "[#" in line.text]
    assert bars[0].text.startswith("      [############--------] 62 %  page 12 \\x1b[31mxxx")
    assert cell_len(bars[0].text) <= 80
    assert [line.text.strip() for line in bars[1:]] == [f"…{TASK_ID[-8:]} [{'#' * 20}] 150 %  half"] * 3
    assert [line.target for line in bars] == [None] * 4
    assert lines.index(bars[0]) == [line.text.split()[:1] for line in lines].index(["mail:0"]) + 1


# -- lines ---------------------------------------------------------------------------------------------


def test_a_line_tells_of_each_type_node_and_worker() -> None:
    assert [" ".join(line.split()) for line in texts(seen())] == [
        "TYPE WAITING RETRY BUSY LATENCY RUNS/S FAILED TOOK WORKERS",
        "mail 1234 0 2 90s 1.0 3 100ms 3/4",
        "",
        "NODE web-1 pid 42, seen 2s ago, shop:registry, up 2h, 65M, 100% CPU",
        "workers replaced: 3 crash; restarts: 1 fetcher",
        "WORKER PID MEM CPU RUNS FOR",
        f"mail:0 101 45M 97% {TASK_ID} 10s",
        "mail:1 102 - - idle",
    ]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_line_is_wider_than_the_terminal_whatever_names_are_like(width: int) -> None:
    wide = seen(
        type_name="日本語" * 40,
        paused=True,
        workers=(
            WorkerInfo(
                "worker[日本語日本語日本語日本語:12]",
                4194304,
                9e6,
                2**34,
                9.99,
                runs=(RunInfo(TASK_ID, 1e6),) * 9,
            ),
        ),
        recent={"done": 10**7},
        restarts={"crash": 10**9, "memory": 10**9, "timeout": 10**9},
    )
    for line in overview_lines(wide, width, all_processes=True):
        assert cell_len(line.text) <= width


def test_what_cannot_be_right_stands_out() -> None:
    def style(found: Overview, start: str) -> str:
        return next(line.style for line in overview_lines(found, 80) if line.text.strip().startswith(start))

    assert style(seen(), "mail") == ""
    assert style(seen(paused=True), "mail (paused)") == "yellow"
    assert style(seen(living=0), "mail") == "yellow"
    assert style(seen(held=True), "mail (held)") == "red"
    assert style(seen(), "NODE") == "bold"
    assert style(seen(silent=16.0), "NODE") == "bold red"
    assert style(seen(quiet=True), "NODE web-1 pid 42, DRAINED") == "bold yellow"


def test_a_run_of_milliseconds_is_not_said_to_go_on_ever_since() -> None:
    quick = (WorkerInfo("worker[mail:0]", 1, runs=(RunInfo(TASK_ID, 0.02),)),)
    assert texts(seen(workers=quick))[-1].endswith(f"{TASK_ID}  20ms")


def test_a_worker_of_many_tasks_tells_of_the_longest() -> None:
    many = (WorkerInfo("worker[mail:0]", 1, runs=(RunInfo(TASK_ID, 30.0),) * 10, more=5),)
    assert " ".join(texts(seen(workers=many))[-1].split()).endswith("15 tasks, the longest 32s")


def test_other_processes_are_shown_when_asked_for() -> None:
    assert [" ".join(line.split()) for line in texts(seen(), all_processes=True)][-1] == "lease 99 20M 3%"


def test_an_empty_database_says_what_to_do() -> None:
    assert any(
        "`goque supervise APP` starts one" in line for line in texts(overview([], [], frozenset(), [], NOW))
    )


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (amount(99_999), "99999"),
        (amount(123_456), "123k"),
        (amount(4_500_000), "4.5M"),
        (span(0.0004), "<1ms"),
        (span(0.028), "28ms"),
        (span(2.54), "2.5s"),
        (span(2700), "45m"),
        (size(45 * 2**20), "45M"),
        (size(1200 * 2**20), "1.2G"),
    ],
)
def test_figures_are_short(told: str, text: str) -> None:
    assert told == text


# -- keys ----------------------------------------------------------------------------------------------


def test_the_cursor_goes_over_types_nodes_and_workers_and_stays_inside() -> None:
    shown = screen()
    assert selected(shown).startswith("mail 1234")
    shown.press("up")
    assert selected(shown).startswith("mail 1234")
    for key, start in [
        ("down", "NODE"),
        ("j", "mail:0"),
        ("down", "mail:1"),
        ("down", "mail:1"),
        ("home", "mail 1234"),
    ]:
        shown.press(key)
        assert selected(shown).startswith(start)


def test_the_cursor_stays_on_its_worker_when_that_runs_another_task() -> None:
    shown = screen()
    shown.press("end")
    shown.press("k")
    shown.take(Answer(seen(workers=(WorkerInfo("worker[mail:0]", 101), *workers()[1:]))))
    assert selected(shown).startswith("mail:0 101 - - idle")


def test_a_short_terminal_scrolls_with_the_cursor() -> None:
    shown = screen(seen(workers=workers(30)))
    for key, start in [("end", "mail:29"), ("home", "mail 1234")]:
        shown.press(key)
        assert selected(shown, height=10).startswith(start)
        assert len(shown.lines(80, 10)) == 10
    assert shown.lines(80, 10)[1].text.split()[0] == "TYPE"


def test_p_pauses_and_resumes_the_type_under_the_cursor() -> None:
    assert screen().press("p") == Order("pause", "mail")
    assert screen(seen(paused=True)).press("p") == Order("resume", "mail")


def test_what_changes_tasks_is_asked_first() -> None:
    shown = screen()
    assert shown.press("r") is None
    assert shown.message == "[y/n] reset all failed tasks of mail?"
    assert shown.press("x") is None
    assert shown.message == "nothing was changed"
    shown.press("r")
    assert shown.press("y") == Order("reset-type", "mail")


def test_c_cancels_what_a_worker_runs() -> None:
    shown = screen()
    shown.press("end")
    assert shown.press("c") is None
    assert shown.message == "it runs nothing"
    shown.press("up")
    shown.press("c")
    assert shown.press("y") == Order("cancel", TASK_ID)


def test_enter_lists_the_failed_tasks_of_a_type_and_escape_goes_back_to_it() -> None:
    shown = screen()
    assert shown.press("enter") == Order("tasks", "mail")
    shown.take(Answer(seen(), tasks=[failed_task()], task_type="mail"))
    assert selected(shown) == f"{TASK_ID} failed 2 boom"
    assert shown.lines(80, 24)[-2].text.strip() == "boom"
    shown.press("r")
    assert shown.press("y") == Order("reset", TASK_ID, "mail")
    shown.press("escape")
    assert selected(shown).startswith("mail 1234")


def test_a_node_is_drained_and_woken_even_before_its_heartbeat_shows_it() -> None:
    shown = screen()
    shown.press("down")
    shown.press("d")
    order = shown.press("y")
    assert order == Order("drain", "web-1", pid=42)
    shown.take(Answer(seen(), order))
    shown.press("d")
    assert "claims again" in shown.message
    shown.press("n")
    shown.take(Answer(seen(quiet=True)))
    shown.take(Answer(seen(quiet=False)))  # somebody else woke it
    shown.press("d")
    assert "claims nothing more" in shown.message


def test_a_key_that_means_nothing_here_says_so_and_q_ends() -> None:
    shown = screen()
    assert shown.press("z") is None
    assert shown.message == "z: no such key here; ? shows the keys"
    shown.press("q")
    assert shown.is_over


def test_a_database_that_is_away_leaves_the_last_look_on_the_screen() -> None:
    shown = screen()
    shown.take(Answer(trouble="cannot be reached: \x1b[31mno route"))
    title, *_, reason, _legend = shown.lines(80, 24)
    assert title.text.startswith("the database does not answer, and what is shown is of ")
    assert reason.text.startswith("cannot be reached: \\x1b[31mno route")
    assert "red" in title.style
    assert selected(shown).startswith("mail 1234")
    shown.take(Answer(seen()))
    assert "goque top" in shown.lines(80, 24)[0].text


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_question_mark_explains_keys_and_columns_until_the_next_key(width: int) -> None:
    shown = screen()
    shown.press("down")
    assert shown.press("?") is None
    lines = shown.lines(width, 24)
    text = "\n".join(" ".join(line.text.split()) for line in lines)
    assert "KEYS" in text
    for name, meaning in (*KEYS, *COLUMNS):
        assert f"{name} {meaning}" in text
        assert name.partition(",")[0] in (top.help or "")
    assert {cell_len(line.text) <= width for line in lines} == {True}
    assert len(lines) == 24
    assert shown.press("p") is None  # which pauses nothing
    assert selected(shown).startswith("NODE")
    shown.press("?")
    shown.press("ctrl-c")
    assert shown.is_over


def test_figures_stay_beside_the_names_on_a_wide_terminal() -> None:
    for width in (80, 120, 200):
        assert {cell_len(line) for line in texts(seen(), width)[:2]} == {80}
    long = "a_type_with_a_long_name_of_55_characters_in_this_test_x"
    narrow, wide = (texts(seen(type_name=long, paused=True), width) for width in (80, 200))
    assert (len(narrow[0]), len(narrow[1])) == (80, 80)
    assert narrow[1].startswith("  a_type_wit… (paused)")
    assert wide[1].startswith(f"  {long} (paused)    1234 ")
    assert len(wide[0]) == len(wide[1]) < 130


def test_before_the_first_look_there_is_nothing_to_act_on() -> None:
    shown = Screen("sqlite:///goque.db")
    assert len(shown.lines(80, 24)) == 24
    assert shown.press("p") is None


def test_hostile_names_come_out_inert() -> None:
    hostile = seen(type_name="a\x1b[2Jb", workers=(WorkerInfo("worker[\x07:0]", 1),))
    assert not any(char in line.text for line in overview_lines(hostile, 80) for char in "\x1b\x07")


def test_keys_come_one_by_one_however_the_terminal_sends_them() -> None:
    assert list(names_of(b"jk\x1b[A\x1bOB\r\x03q")) == ["j", "k", "up", "down", "enter", "ctrl-c", "q"]
    assert list(names_of(b"\x1b")) == ["escape"]
    assert list(names_of(b"\x1b[5~x\x00")) == ["x"]
    assert list(names_of(b"\x1b[1;5Cq")) == ["q"]


# -- orders --------------------------------------------------------------------------------------------


def test_an_order_to_a_database_that_is_away_is_trouble_and_no_crash() -> None:
    storage = open_storage("mysql://me:secret@127.0.0.1:9/shop")
    answer = answer_to(Order("pause", "mail"), storage)
    storage.close()
    assert answer.trouble.startswith("cannot be reached: ")
    assert "secret" not in answer.trouble
    assert (answer.done, answer.message) == (None, "not done: the database does not answer")


def test_a_supervisor_elsewhere_is_not_signaled_but_said_how_to() -> None:
    with pytest.raises(GoqueError, match="runs on elsewhere; run `kill -USR2 42` there"):
        signal_root("elsewhere", 42)


def test_only_a_supervisor_is_signaled() -> None:
    import os
    import socket

    with pytest.raises(GoqueError, match="is no supervisor here"):
        signal_root(socket.gethostname(), os.getpid())


def test_a_line_about_nothing_is_about_no_line() -> None:
    assert not Line("").is_about(None)


def test_functions_are_shown_below_their_type_and_the_cursor_passes_them() -> None:
    functions = (FunctionInfo("shop.tasks.add", recent={"done": 59, "error": 1}, recent_run_seconds=6.0),)
    found = seen(functions=functions)
    (line,) = [line for line in overview_lines(found, 100) if "shop.tasks.add" in line.text]
    assert line.target is None
    assert line.text.split() == ["shop.tasks.add", "0", "0", "0", "1.0", "1", "100ms"]
    header, kind = (next(text for text in texts(found, 100) if word in text) for word in ("TYPE", "mail"))
    at = header.index("RUNS/S")
    assert line.text[at : at + 6].split() == ["1.0"] == kind[at : at + 6].split()
    assert selected(screen(found)).startswith("mail")


def test_waiting_tasks_of_functions_that_are_too_many_to_count_are_shown_as_unknown() -> None:
    info = NodeInfo(recent_seconds=60.0, types=(TypeInfo("django.a", functions=(FunctionInfo("a.b"),)),))
    row = NodeRow("n1", 7, "alive", "web-1", 42, NOW, NOW, encode_info(info))
    found = overview([], [], frozenset(), [row], NOW, unfinished={"django.a": None})
    (line,) = [text for text in texts(found, 100) if "a.b" in text]
    assert line.split() == ["a.b", "-", "-", "-", "0.0", "0", "-"]
