"""The judge of the chaos run, on small histories: what adds up passes, and each way not to is seen."""

from __future__ import annotations

from typing import Any

import pytest
from chaos_limits import PACE
from evidence import NOTICED_WITHIN, Attempt, Evidence, Excuse, LostCommits, Row, TaskState
from limit_ledger import LATE
from verdict import LOST, Verdict

PID, ROOT = 10, 1


def start(task: str, number: int, *, at: float = 100.0, pid: int = PID, temper: str = "fine") -> list[str]:
    return ["start", task, str(number), str(pid), str(ROOT), str(at), temper]


def end(task: str, number: int, how: str = "ok", *, at: float = 101.0) -> list[str]:
    return ["end", task, str(number), str(at), how]


def row(task: str = "t", status: str = "done", attempts: int = 0, external_id: str = "x") -> Row:
    return Row(task, "plain", external_id, status, attempts)


def crash(task: str = "t", pid: int = PID) -> Attempt:
    return Attempt(task, "crash", pid, "worker crashed: signal 9 (SIGKILL)")


def judge(*diary: list[str], rows: list[Row], attempts: tuple[Attempt, ...] = (), **more: Any) -> Verdict:
    return Verdict(Evidence(list(diary), rows, list(attempts), **more))


def test_a_success_behind_a_done_task_adds_up() -> None:
    verdict = judge(start("t", 1), end("t", 1), rows=[row()], enqueued=["t"])
    assert verdict.complaints == []
    assert (verdict.counts["runs done"], verdict.counts["runs"], verdict.counts["tasks"]) == (1, 1, 1)


def test_a_charged_crash_a_snooze_and_a_success_add_up() -> None:
    verdict = judge(
        start("t", 1, temper="crashing"),
        start("t", 2, pid=11),
        end("t", 2, "Snooze"),
        start("t", 3, pid=11),
        end("t", 3),
        rows=[row(attempts=1)],
        attempts=(crash(),),
    )
    assert verdict.complaints == []
    assert (
        verdict.counts["runs charged"] == verdict.counts["runs snoozed"] == verdict.counts["runs done"] == 1
    )


def test_the_record_of_a_run_that_was_killed_for_a_shutdown_charges_nothing() -> None:
    stopped = Attempt("t", "interrupted", PID, "interrupted by a shutdown")
    verdict = judge(start("t", 1), end("t", 1), rows=[row()], attempts=(stopped,))
    assert verdict.complaints == []


@pytest.mark.parametrize(("killed_at", "is_explained"), [(98.0, True), (96.0, False)])
def test_a_worker_of_a_killed_root_may_begin_a_last_task(killed_at: float, is_explained: bool) -> None:
    history = (start("t", 1, at=100), start("t", 2, at=110), end("t", 2, at=111))
    complaints = judge(*history, rows=[row()], excuses=[Excuse(ROOT, killed_at, LOST)]).complaints
    assert (complaints == []) is is_explained


def test_what_a_shutdown_gave_back_adds_up_and_the_same_without_one_does_not() -> None:
    history = (start("t", 1), start("t", 2, at=110), end("t", 2, at=111))
    stopped = [Excuse(ROOT, 105.0, "its tree was stopped")]
    assert judge(*history, rows=[row()], excuses=stopped).complaints == []
    assert "nothing explains it" in judge(*history, rows=[row()]).complaints[0]
    too_late = [Excuse(ROOT, 115.0, "its tree was stopped")]
    assert "nothing explains it" in judge(*history, rows=[row()], excuses=too_late).complaints[0]
    elsewhere = [Excuse(2, 105.0, "its tree was stopped")]
    assert "nothing explains it" in judge(*history, rows=[row()], excuses=elsewhere).complaints[0]


def test_a_node_that_was_lost_charges_by_the_pid_of_its_supervisor() -> None:
    lost = Attempt(
        "t", "lost", 0, "node lost: web-1 (supervisor pid 1) sent no more heartbeats while it ran this task"
    )
    history = (start("t", 1), start("t", 2, pid=12), end("t", 2))
    assert judge(*history, rows=[row(attempts=1)], attempts=(lost,)).complaints == []


def test_a_success_that_was_charged_as_lost_counts_for_the_next_claim_of_its_node_and_no_other_charge_does() -> (
    None
):
    history = (start("t", 1), end("t", 1))
    lost = Attempt(
        "t", "lost", 0, "node lost: web-1 (supervisor pid 1) sent no more heartbeats while it ran this task"
    )
    assert judge(*history, rows=[row(attempts=1)], attempts=(lost,)).complaints == []
    failed = Attempt("t", "failed", PID, "ValueError")
    verdict = judge(*history, rows=[row(attempts=1)], attempts=(failed,))
    assert "done without a success" in verdict.complaints[0]


def test_a_crash_is_charged_to_the_run_that_was_not_put_off() -> None:
    history = (
        start("t", 1),
        end("t", 1, "RateLimited"),
        start("t", 2, at=102),
        end("t", 2, at=102.1),
        start("c", 1, at=102.2, temper="crashing"),
        start("t", 3, at=110, pid=11),
        end("t", 3, at=111),
        start("c", 2, at=110, pid=11, temper="crashing"),
        end("c", 2, at=111),
    )
    rows = [row(attempts=1), row("c", attempts=1)]
    assert judge(*history, rows=rows, attempts=(crash(), crash("c"))).complaints == []


def test_others_in_a_worker_that_was_ended_for_one_are_given_back() -> None:
    timeout = Attempt("slow", "timeout", PID, "task processing timeout: 3s")
    verdict = judge(
        start("slow", 1, temper="slow"),
        start("t", 1),
        start("t", 2, pid=11),
        end("t", 2),
        rows=[row("slow", "attempts_left", 1), row()],
        attempts=(timeout,),
    )
    assert verdict.complaints == []


@pytest.mark.parametrize(
    ("diary", "rows", "more", "complaint"),
    [
        ([], [], {"enqueued": ["t"]}, "is lost"),
        ([], [row(status="error")], {}, "is error for ever"),
        ([], [row()], {}, "done without a success"),
        ([start("t", 1), end("t", 1)], [row()], {"canceled": ["t"]}, "was canceled and came back"),
        ([start("t", 1), end("t", 1)], [], {}, "ran and is not in the table"),
        ([start("t", 1), end("t", 1), ["overlap", "t", "2"]], [row()], {}, "while another still ran"),
        ([start("t", 1), end("t", 1)] * 1 + [start("t", 2), end("t", 2)], [row()], {}, "nothing explains it"),
        ([start("t", 1), end("t", 1)], [row(attempts=1)], {}, "attempts 1, and 0 are recorded"),
        (
            [start("t", 1), end("t", 1)],
            [row(attempts=1)],
            {"attempts": (crash(pid=99),)},
            "charged without a run",
        ),
        (
            [start("t", 1), start("t", 2), end("t", 2)],
            [row(attempts=1)],
            {"attempts": (crash(),)},
            "had no reason",
        ),
    ],
)
def test_what_does_not_add_up_is_a_complaint(
    diary: list[list[str]], rows: list[Row], more: dict[str, Any], complaint: str
) -> None:
    assert any(complaint in said for said in judge(*diary, rows=rows, **more).complaints)


def test_the_error_of_a_crash_must_say_how_the_process_died() -> None:
    def charged(said: str, **more: Any) -> list[str]:
        history = (start("t", 1, temper="exiting"), start("t", 2, pid=11, temper="exiting"), end("t", 2))
        attempt = Attempt("t", "crash", PID, f"worker crashed: {said}")
        return judge(*history, rows=[row(attempts=1)], attempts=(attempt,), **more).complaints

    assert charged("exit code 0") == []
    assert "died by 'exit code 0'" in charged("exit code 3")[0]
    assert charged("signal 9 (SIGKILL)", killed=[PID]) == []


def test_what_a_killed_supervisor_had_begun_and_not_written_is_bounded() -> None:
    def lost(count: int) -> list[str]:
        names = [f"t{number}" for number in range(count)]
        history = [line for name in names for line in (start(name, 1), start(name, 2, pid=12), end(name, 2))]
        killed = [Excuse(ROOT, 100.5, LOST)]
        return judge(*history, rows=[row(name) for name in names], excuses=killed).complaints

    assert lost(20) == []
    assert lost(100) == ["100 runs of supervisor 1 were not charged when it was killed"]


def test_a_periodic_task_of_the_last_second_may_still_wait() -> None:
    assert judge(rows=[row(status="new", external_id="tick:2026-11-24T03:44:37Z")]).complaints == []


# -- limits ----------------------------------------------------------------------------------------------------------


def place(task: str, number: int, run: int = 1, at: float = 100.0) -> list[str]:
    return ["place", "narrow", str(number), task, str(run), str(at)]


def too_many(task: str, run: int = 1, at: float = 100.5) -> list[str]:
    return ["toomany", "narrow", task, str(run), str(at)]


def test_runs_that_each_have_a_place_add_up_and_the_most_at_once_is_counted() -> None:
    diary = [start("t", 1), place("t", 0), start("u", 1), place("u", 1), end("t", 1), end("u", 1)]
    verdict = judge(*diary, rows=[row("t"), row("u")])
    assert verdict.complaints == []
    assert verdict.counts["most at once of narrow"] == 2


def test_a_run_that_finds_no_place_is_a_complaint() -> None:
    diary = [start("t", 1), place("t", 0), start("u", 1), too_many("u"), end("t", 1), end("u", 1)]
    complaints = judge(*diary, rows=[row("t"), row("u")]).complaints
    assert complaints == ["narrow: run 1 of task u began while all places were taken"]


def test_starts_may_come_late_and_not_more_of_them_than_the_rate_allows() -> None:
    def judged(times: list[float]) -> list[str]:
        return judge(*(["paced", str(time)] for time in times), rows=[]).complaints

    seconds_held_up = [100.0] * (PACE.burst or 0) + [110.0] * round(LATE / PACE.interval)
    assert judged(seconds_held_up) == []
    assert judged([100 + number * PACE.interval for number in range(200)]) == []
    assert judged([100 + number * PACE.interval / 2 for number in range(200)]) != []
    assert judged([100.0] * 40) != [], "the load of one moment"


# -- what a failover lost --------------------------------------------------------------------------------------------


FAILED_OVER_AT = 105.0


def lost(**more: Any) -> dict[str, list[LostCommits]]:
    sets = {name: frozenset(tasks) for name, tasks in more.items()}
    return {"lost_commits": [LostCommits(FAILED_OVER_AT, **sets)]}


def state(status: str, claims: int = 1) -> TaskState:
    return TaskState(status, 0, None, claims, 0)


def test_a_task_that_a_failover_lost_may_be_missing_and_another_one_may_not() -> None:
    history = (start("t", 1), end("t", 1))
    assert judge(*history, rows=[], enqueued=["t"], **lost(tasks=["t"])).complaints == []
    assert len(judge(*history, rows=[], enqueued=["t"], **lost(tasks=["u"])).complaints) == 2
    assert len(judge(*history, rows=[], enqueued=["t"], **lost(moves=["t"])).complaints) == 2


def test_a_cancel_that_a_failover_lost_may_come_back_and_another_move_may_not() -> None:
    history = (start("t", 1), end("t", 1))
    assert judge(*history, rows=[row()], canceled=["t"], **lost(cancels=["t"])).complaints == []
    assert "came back" in judge(*history, rows=[row()], canceled=["t"], **lost(moves=["t"])).complaints[0]


def test_a_run_whose_end_a_failover_lost_is_explained_and_a_later_one_is_not() -> None:
    def judged(at: float, **more: Any) -> list[str]:
        again = (start("t", 2, at=130), end("t", 2, at=131))
        return judge(start("t", 1, at=at), end("t", 1, at=at + 1), *again, rows=[row()], **more).complaints

    assert judged(104.0, **lost(moves=["t"])) == []
    assert judged(FAILED_OVER_AT + NOTICED_WITHIN - 1, **lost(moves=["t"])) == [], "it was sent ahead"
    assert "nothing explains it" in judged(FAILED_OVER_AT + NOTICED_WITHIN + 1, **lost(moves=["t"]))[0]
    assert "nothing explains it" in judged(104.0, **lost(moves=["u"]))[0]


def test_a_worker_may_be_ended_because_of_a_task_that_a_failover_lost() -> None:
    def judged(**more: Any) -> list[str]:
        again = (start("t", 2, pid=12), end("t", 2))
        return judge(
            start("t", 1), start("gone", 1), *again, rows=[row()], enqueued=["gone"], **more
        ).complaints

    assert judged(**lost(tasks=["gone"])) == []
    assert any("nothing explains it" in said for said in judged(**lost(tasks=["other"])))


def test_a_run_may_begin_beside_one_whose_claim_a_failover_lost() -> None:
    def judged(at: float, moved: str) -> list[str]:
        history = (
            start("t", 1, at=104),
            start("t", 2, at=at),
            ["overlap", "t", "2"],
            end("t", 1),
            end("t", 2),
        )
        return judge(*history, rows=[row()], **lost(moves=[moved])).complaints

    assert judged(107.0, "t") == []
    assert "began while another still ran" in judged(107.0, "u")[0]
    assert "began while another still ran" in judged(FAILED_OVER_AT + NOTICED_WITHIN + 1, "t")[0]


def test_a_run_may_be_one_too_many_beside_one_whose_claim_a_failover_lost() -> None:
    def judged(at: float, moved: str) -> list[str]:
        holder = (start("t", 1, at=104), place("t", 0), start("u", 1, at=at), too_many("u", at=at))
        ends = (end("t", 1, at=130), end("u", 1, at=131))
        return judge(*holder, *ends, rows=[row("t"), row("u")], **lost(moves=[moved])).complaints

    assert judged(107.0, "t") == judged(107.0, "u") == []
    assert "all places were taken" in judged(107.0, "other")[0]
    assert "all places were taken" in judged(FAILED_OVER_AT + NOTICED_WITHIN + 1, "t")[0]


def test_a_failover_may_lose_how_far_the_starts_were_and_later_ones_keep_to_the_rate() -> None:
    at_once = [["paced", "106.0"]] * 40
    assert judge(*at_once, rows=[], **lost()).complaints == []
    assert judge(*([["paced", "150.0"]] * 40), rows=[], **lost()).complaints != []


def test_what_was_lost_is_what_the_old_primary_had_and_the_new_one_has_not() -> None:
    before = {
        "new": state("new"),
        "moved": state("done"),
        "same": state("done"),
        "canceled": state("canceled"),
    }
    after = {"moved": state("processing"), "same": state("done"), "canceled": state("new", claims=0)}
    found = LostCommits.between(before, after, FAILED_OVER_AT)
    assert found == LostCommits(
        FAILED_OVER_AT, frozenset({"new"}), frozenset({"moved", "canceled"}), frozenset({"canceled"})
    )


def pair(status: str = "done", *, need: str = "done") -> list[Row]:
    return [row("need", need), row("t", status)]


EARLY = (start("need", 1, at=100), start("t", 1, at=101, pid=11), end("t", 1, at=102), end("need", 1, at=103))


def test_a_dependent_begins_when_its_need_has_ended_and_not_before() -> None:
    edges = [("t", "need", "done")]
    late = (start("need", 1), end("need", 1, at=101), start("t", 1, at=102, pid=11), end("t", 1, at=103))
    verdict = judge(*late, rows=pair(), edges=edges)
    assert verdict.complaints == []
    assert verdict.counts["needs"] == 1
    assert "began before task need" in judge(*EARLY, rows=pair(), edges=edges).complaints[0]
    lost = [LostCommits(99.0, moves=frozenset({"need"}))]
    assert judge(*EARLY, rows=pair(), edges=edges, lost_commits=lost).complaints == []


def test_a_dependent_does_not_run_in_vain_and_is_canceled_with_its_need() -> None:
    edges = [("t", "need", "done")]
    ran = (start("t", 1), end("t", 1))
    assert (
        "ran although task need"
        in judge(*ran, rows=pair(need="canceled"), edges=edges, canceled=["need"]).complaints[0]
    )
    assert judge(*ran, rows=pair(need="canceled"), edges=[("t", "need", "ended")]).complaints == []
    assert judge(rows=pair("canceled", need="canceled"), edges=edges).complaints == []
    [complaint] = judge(rows=pair("attempts_left", need="canceled"), edges=edges).complaints
    assert "is attempts_left although" in complaint


def test_each_success_leaves_its_follow_up_and_no_other_end_does() -> None:
    history = (start("t", 1, temper="following"), end("t", 1))
    after = row("f", external_id="after:t")
    assert judge(*history, start("f", 1), end("f", 1), rows=[row(), after]).complaints == []
    assert "its follow-up is not in the table" in judge(*history, rows=[row()]).complaints[0]
    canceled = judge(*history, start("f", 1), end("f", 1), rows=[row(status="canceled"), after])
    assert "and its follow-up is in the table" in canceled.complaints[0]
    twice = Attempt("t", "failed", PID, "goque.DuplicateTaskError: a task with external id 'after:t' exists")
    verdict = judge(
        start("t", 1), end("t", 1, "ValueError"), *history, rows=[row(attempts=1)], attempts=(twice,)
    )
    assert any("left a follow-up and did not end well" in text for text in verdict.complaints)


def step(task: str, run: int, word: str = "step", *, at: float = 100.0) -> list[str]:
    return [word, task, str(run), "first", str(at)]


def test_a_step_is_called_until_it_is_recorded_and_not_again() -> None:
    first = (start("t", 1, temper="stepping"), step("t", 1), end("t", 1, "ValueError"))
    second = (start("t", 2, at=102, pid=11), step("t", 2), step("t", 2, "kept"), end("t", 2, "StepPause"))
    third = (start("t", 3, at=104, pid=11), end("t", 3, at=105))
    failed = Attempt("t", "failed", PID, "ValueError: chosen")
    verdict = judge(*first, *second, *third, rows=[row(attempts=1)], attempts=(failed,))
    assert verdict.complaints == []
    assert (
        verdict.counts["steps recorded"]
        == verdict.counts["steps called again before they were recorded"]
        == 1
    )
    again = (*third[:1], step("t", 3), *third[1:])
    [complaint] = judge(*first, *second, *again, rows=[row(attempts=1)], attempts=(failed,)).complaints
    assert complaint == "step first of task t was recorded in run 2, and called again in run 3"
    lost = [LostCommits(99.0, moves=frozenset({"t"}))]
    verdict = judge(*first, *second, *again, rows=[row(attempts=1)], attempts=(failed,), lost_commits=lost)
    assert verdict.complaints == []
