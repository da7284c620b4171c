"""The report of a chaos run tells what happened to the tasks that it complains of."""

from __future__ import annotations

from history import LINES, MAX_TASKS, histories

TASK, OTHER = (f"01a22eea-9cee-7385-85b8-eba1541fd68{number}" for number in (1, 2))
COMPLAINT = f"task {TASK}: run 2 began while another still ran"
START = 1_764_549_000.25


def test_a_complaint_is_told_from_the_diary_and_the_logs_in_order() -> None:
    diary = [
        ["start", TASK, "1", "10", "1", str(START), "fine"],
        ["start", OTHER, "1", "11", "1", str(START), "fine"],
        ["overlap", TASK, "2"],
        ["start", TASK, "2", "12", "2", str(START + 2), "fine"],
    ]
    logs = [(START + 1, f'node a: {{"task": "{TASK}"}}'), (START + 1, f'node b: {{"task": "{OTHER}"}}')]
    title, *told = histories([COMPLAINT, COMPLAINT, "process 7 is left"], diary, logs)
    assert title == f"task {TASK}:"
    assert [line.split()[1] for line in told] == ["start", "overlap", "node", "start"]
    assert ".250 " in told[0]
    assert not any(OTHER in line for line in told)


def test_a_report_stays_short() -> None:
    many = [f"task 01a22eea-9cee-7385-85b8-{number:012x} is lost" for number in range(9)]
    assert len(histories(many, [], [])) == MAX_TASKS
    logs = [(START + number, f"{number} {TASK}") for number in range(500)]
    told = histories([COMPLAINT], [], logs)
    assert len(told) == 1 + LINES
    assert told[-1].endswith(f"499 {TASK}")
