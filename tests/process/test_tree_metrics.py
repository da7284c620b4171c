"""What /metrics, /healthz and /readyz report about a tree whose processes die."""

from __future__ import annotations

import json
import os
import signal

import pytest
from databases import on_every_backend
from prometheus_client.parser import text_string_to_metric_families
from tree import StartTree, eventually, free_port, get

APP = """
from prometheus_client import Counter, Gauge, Histogram

SENT = Counter("app_mails_sent", "Mails sent.", ["kind"])
TOOK = Histogram("app_took_seconds", "How long it took.")
BUSY = Gauge("app_busy", "Busy workers.", multiprocess_mode="livesum")
goque.set_metrics_service_name("shop")

@registry.processor("mail", workers=2, min_workers=2, max_attempts=1)
def mail(task):
    BUSY.set(1)
    SENT.labels("plain").inc()
    TOOK.observe(0.2)
    if task.payload == "die":
        os.kill(os.getpid(), signal.SIGKILL)

@registry.processor("hold", workers=1, max_running=1)
def hold_it(task):
    hold(task)
"""


class Page:
    """The metrics of one moment, by name and labels."""

    def __init__(self, port: int) -> None:
        status, text = get(port, "/metrics")
        assert status == 200, text
        self.samples = {
            (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __call__(self, name: str, *labels: str) -> float:
        ours = ("service=shop",) if name.startswith("goque_") else ()
        return self.samples.get((name, *sorted((*labels, *ours))), -1.0)


def counters(page: Page) -> dict[tuple[str, ...], float]:
    ends = ("_total", "_count", "_bucket", "_sum")
    return {key: value for key, value in page.samples.items() if key[0].endswith(ends)}


@pytest.mark.fault(16)
def test_counters_never_go_back_whoever_dies(start_tree: StartTree) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", app=APP)
    eventually(lambda: get(port, "/readyz")[0] == 200)
    tree.database.enqueue("mail", *(f"m{number}" for number in range(20)))
    eventually(tree.database.is_settled)
    eventually(lambda: Page(port)("goque_processed_tasks_total", "task_type=mail", "status=done") == 20)
    before = counters(Page(port))
    for victim in ("fetcher", "monitor", "worker", "healer", "cleaner", "actors", "app"):
        several = {"fetcher": tree.pids("fetcher"), "worker": tree.workers("mail")}
        for pid in several[victim] if victim in several else [tree.pid(victim)]:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: get(port, "/readyz")[0] == 200, within=30)
        now = counters(eventually(lambda: Page(port) if get(port, "/metrics")[0] == 200 else None))
        assert {key: (value, now.get(key)) for key, value in before.items() if now.get(key, -1) < value} == {}
        before = now
    tree.database.enqueue("mail", "last")
    eventually(tree.database.is_settled)
    done = eventually(
        lambda: (
            page
            if (page := Page(port))("goque_processed_tasks_total", "task_type=mail", "status=done") == 21
            else None
        )
    )
    assert done("app_mails_sent_total", "kind=plain") == 21
    assert done("app_took_seconds_count") == 21
    eventually(lambda: Page(port)("goque_worker_restarts_total", "task_type=mail", "reason=crash") == 2)
    assert Page(port)("goque_child_restarts_total", "child=fetcher") == tree.pools("mail", "hold")
    assert Page(port)("goque_child_restarts_total", "child=monitor") == 1


def test_the_last_words_of_a_killed_worker_count_and_its_gauges_go(start_tree: StartTree) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", app=APP)
    with tree.database.queue as queue:
        for _ in range(5):
            queue.enqueue("mail", "die")
    eventually(tree.database.is_settled)
    eventually(lambda: Page(port)("goque_worker_restarts_total", "task_type=mail", "reason=crash") == 5)
    page = Page(port)
    assert page("app_mails_sent_total", "kind=plain") == 5
    assert page("app_busy") <= 0
    assert page("goque_processed_tasks_total", "task_type=mail", "status=attempts_left") == 5
    assert page("goque_task_retry_attempts_count", "task_type=mail") == 5
    directory = tree.run_dir
    eventually(lambda: len(list(directory.glob("*/metrics/*.db"))) <= 6, within=10)
    assert Page(port)("app_mails_sent_total", "kind=plain") == 5


def test_what_waits_is_seen_by_depth_and_latency(start_tree: StartTree) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", app=APP)
    tree.database.enqueue("hold", "one")
    tree.running_pid("one")
    tree.database.enqueue("hold", "two", "three")
    waiting = ("goque_queue_latency_seconds", "task_type=hold")
    eventually(lambda: Page(port)("goque_queue_depth", "task_type=hold", "status=new") == 2)
    eventually(lambda: Page(port)(*waiting) > 0)
    assert Page(port)("goque_queue_depth", "task_type=hold", "status=processing") == 1
    tree.let_go("one", "two", "three")
    eventually(lambda: Page(port)("goque_queue_depth", "task_type=hold", "status=new") == 0)
    assert Page(port)(*waiting) == 0


LIMITED = """
goque.set_metrics_service_name("shop")
registry.pool("default", workers=4, min_workers=4, fetch_tick=0.1)

@registry.processor("held", limit=2)
def held(task: Task):
    hold(task)

@registry.processor("rare", rate=goque.Rate(1, per=600))
def rare(task: Task):
    pass

@registry.processor("plain")
def plain(task: Task):
    pass
"""


@on_every_backend
def test_limits_are_seen_by_their_use_and_only_of_types_that_have_some(start_tree: StartTree) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", app=LIMITED)
    eventually(lambda: get(port, "/readyz")[0] == 200)
    tree.database.enqueue("held", "one", "two", "three")
    tree.database.enqueue("rare", "first", "second")
    held, rare = "task_type=held", "task_type=rare"
    eventually(lambda: Page(port)("goque_limit_running", held) == 2)
    eventually(lambda: Page(port)("goque_limit_waiting", held) == 1)
    eventually(lambda: Page(port)("goque_limit_next_start_seconds", rare) > 500)
    page = Page(port)
    assert page("goque_limit_size", held) == 2
    assert page("goque_limit_next_start_seconds", held) == 0
    assert page("goque_limit_waiting", rare) == 1
    limited = {key[2] for key in page.samples if key[0].startswith("goque_limit_")}
    assert limited == {held, rare}
    tree.database.queue.set_limits("held", limit=3)
    eventually(lambda: Page(port)("goque_limit_size", held) == 3)
    eventually(lambda: Page(port)("goque_limit_running", held) == 3)
    tree.let_go("one", "two", "three")
    eventually(lambda: Page(port)("goque_limit_running", held) == 0)


def test_a_paused_type_waits_on_every_node_and_goes_on_when_resumed(start_tree: StartTree) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", app=APP)
    other = start_tree(apart=True)
    for each in (tree, other):
        eventually(lambda each=each: len(each.workers("mail")) == 2)
    tree.database.enqueue("mail", "first")
    eventually(tree.database.is_settled)
    queue = tree.database.queue
    assert queue.pause_type("mail")
    tree.database.enqueue("mail", "waits")
    tree.database.enqueue("hold", "goes on")
    tree.let_go("goes on")
    eventually(lambda: tree.database.task("goes on").status == "done")
    eventually(lambda: Page(port)("goque_type_paused", "task_type=mail") == 1)
    eventually(lambda: Page(port)("goque_queue_latency_seconds", "task_type=mail") > 2)
    assert tree.database.task("waits").status == "new"
    assert get(port, "/readyz")[0] == 200
    assert queue.resume_type("mail")
    eventually(lambda: tree.database.task("waits").status == "done")
    eventually(lambda: Page(port)("goque_type_paused", "task_type=mail") == 0)


def test_readiness_tells_of_a_draining_tree(start_tree: StartTree) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", app=APP)
    tree.database.enqueue("hold", "long")
    tree.running_pid("long")
    eventually(lambda: get(port, "/readyz")[0] == 200)
    tree.signal(signal.SIGTERM)
    _status, text = eventually(lambda: found if (found := get(port, "/readyz"))[0] == 503 else None)
    assert json.loads(text)["reasons"]["tree"] == "stopping"
    assert json.loads(get(port, "/healthz")[1]) == {"alive": True, "reasons": {}}
    tree.let_go("long")
    assert tree.wait() == 0


def test_a_tree_without_processors_tells_how_long_the_types_of_its_app_wait(start_tree: StartTree) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", "--roles", "healer,cleaner,monitor", app=APP)
    tree.database.enqueue("mail", "m1", "m2")
    tree.database.enqueue("stranger", "s1")
    eventually(lambda: get(port, "/readyz")[0] == 200)
    eventually(lambda: Page(port)("goque_queue_depth", "task_type=mail", "status=new") == 2)
    page = Page(port)
    assert page("goque_queue_depth", "task_type=unregistered", "status=new") == 1
    assert page("goque_queue_latency_seconds", "task_type=mail") > 0
    assert page("goque_queue_latency_seconds", "task_type=hold") == 0
    assert page("goque_processors_workers_count", "task_type=mail") == -1
