"""What somebody sees who starts a tree in a terminal."""

from __future__ import annotations

from goque_supervisor.root.banner import MAX_NAMES, banner
from goque_supervisor.root.tree import PoolGroupSpec
from goque_supervisor.settings import SuperviseOptions

SERVICES = ["healer", "cleaner", "scheduler"]


def pool(name: str, *types: str, workers: int = 2, is_mixed: bool = False) -> PoolGroupSpec:
    processors = tuple(
        {
            "type": task_type,
            "is_async": is_mixed and task_type == types[-1],
            "options": {"timeout": 30.0, "max_attempts": 5},
        }
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


def test_limits_of_a_type_are_named() -> None:
    spec = pool("mail")
    limits = {"limit": 20, "per_key": 2, "rate": {"count": 100, "per": 60.0, "per_key": True}}
    spec.processors[0]["options"]["limits"] = limits
    assert (
        "  pools     mail  2 workers, timeout 30s, 5 attempts, limit 20, 2 per key, rate 100/60 for each key"
    ) in lines(SuperviseOptions(app="shop:registry"), spec)
    spec.processors[0]["options"]["limits"] = {"rate": {"count": 1, "per": 0.5}}
    assert "  pools     mail  2 workers, timeout 30s, 5 attempts, rate 1/0.5" in lines(
        SuperviseOptions(app="shop:registry"), spec
    )


def test_workers_of_both_kinds_are_told_apart() -> None:
    told = lines(SuperviseOptions(app="shop:registry"), pool("default", "a", "b", workers=4, is_mixed=True))
    assert "  pools     default  4 + 1 async workers for 2 types" in told


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
