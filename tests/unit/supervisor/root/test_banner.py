"""What somebody sees who starts a tree in a terminal."""

from __future__ import annotations

from goque_supervisor.root.banner import MAX_NAMES, banner
from goque_supervisor.root.tree import PoolGroupSpec
from goque_supervisor.settings import SuperviseOptions

SERVICES = ["healer", "cleaner", "scheduler"]


def pool(name: str, *types: str, workers: int = 2) -> PoolGroupSpec:
    processors = tuple(
        {"type": task_type, "is_async": False, "options": {"timeout": 30.0, "max_attempts": 5}}
        for task_type in types or (name,)
    )
    return PoolGroupSpec(name, processors, {"workers": workers, "async_workers": 1}, ("public", "secret"))


def lines(options: SuperviseOptions, *pools: PoolGroupSpec, jobs: int = 1) -> list[str]:
    app = {"database": "sqlite:////srv/shop.db", "job_names": [f"job{number}" for number in range(jobs)]}
    return banner(options, app, pools, SERVICES, 4711).splitlines()


def test_it_tells_what_runs_where_how_many_and_how_to_stop() -> None:
    options = SuperviseOptions(app="shop:registry", http="127.0.0.1:9100")
    assert lines(options, pool("mail"), pool("thumbnail", workers=1), pool("default", "a", "resize")) == [
        "",
        "  shop:registry is up as pid 4711",
        "",
        "  database  sqlite:////srv/shop.db",
        "  pools     mail       2 workers, timeout 30s, 5 attempts",
        "            thumbnail  1 worker, timeout 30s, 5 attempts",
        "            default    2 workers for 2 types",
        "              a       timeout 30s, 5 attempts",
        "              resize  timeout 30s, 5 attempts",
        "  jobs      job0",
        "  besides   healer, cleaner, scheduler",
        "  metrics   http://127.0.0.1:9100/metrics, /healthz, /readyz",
        "  look      goque top",
        "  reload    kill -HUP 4711",
        "  stop      Ctrl-C: running handlers have 30s; a second one stops at once",
        "",
    ]


def test_it_stays_short_whatever_there_is() -> None:
    options = SuperviseOptions(app="shop:registry", drain=True, reload=True)
    many = lines(options, *(pool(f"type{number}") for number in range(100)), jobs=100)
    assert len(many) < MAX_NAMES + 15
    assert "            and 88 more" in many
    assert any(line.endswith("and 88 more") and "job0, " in line for line in many)
    assert "  reload    on changes of the source, or kill -HUP 4711" in many
    assert "  stop      when nothing is left to do, or Ctrl-C" in many


def test_a_tree_without_types_says_so() -> None:
    assert "  pools     none in this process" in lines(SuperviseOptions(app="shop:registry"))
