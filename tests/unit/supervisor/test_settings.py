from __future__ import annotations

from datetime import timedelta

import pytest

import goque
from goque_supervisor.settings import SuperviseOptions


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("node_timeout", -1),
        ("node_timeout", 0.01),
        ("node_timeout", True),
        ("node_timeout", float("nan")),
        ("shutdown_timeout", "30"),
        ("roles", ["zz"]),
        ("roles", "healer"),
        ("roles", []),
        ("types", "abc"),
        ("exclude_types", [5]),
        ("types", 5),
        ("node_timeout", timedelta(milliseconds=1)),
        ("http", "nowhere"),
        ("http", 9100),
        ("run_dir", 5),
        ("run_dir", ""),
        ("drain", "yes"),
        ("database_url", 5),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("start_method", "fork"),
        ("on_lost_lease", "panic"),
        ("heal_unpublished", 0),
        ("heal_unpublished", "3600"),
        ("heal_unpublished", True),
        ("drian", True),
    ],
)
def test_a_supervisor_refuses_an_option_that_is_wrong_and_names_it(option, value):
    with pytest.raises(goque.ConfigurationError, match=option) as refusal:
        goque.Supervisor(goque.Registry(), **{option: value})
    assert "\n" not in str(refusal.value)


def test_a_supervisor_refuses_a_url_that_names_no_storage():
    with pytest.raises(goque.ConfigurationError, match="'shop' is not a storage URL"):
        goque.Supervisor(goque.Registry(), database_url="shop")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"types": ["nope"]}, "no processor for type 'nope'; it has known"),
        ({"exclude_types": ["nope"]}, "'nope'"),
    ],
)
def test_a_supervisor_starts_nothing_for_a_type_that_its_registry_lacks(options, complaint):
    registry = goque.Registry()
    supervisor = goque.Supervisor(registry, **options)
    registry.add_processor("known", goque.noop_task_processor)
    with pytest.raises(goque.ConfigurationError, match=complaint):
        supervisor.start()
    assert supervisor.pid is None


def test_a_supervisor_starts_nothing_for_a_registry_without_processors():
    supervisor = goque.Supervisor(goque.Registry())
    with pytest.raises(goque.ConfigurationError, match="no processors"):
        supervisor.run()
    assert supervisor.pid is None


def test_a_supervisor_refuses_what_is_no_registry():
    with pytest.raises(goque.ConfigurationError, match="Registry, not 5"):
        goque.Supervisor(5)


def test_types_and_exclude_types_exclude_each_other():
    with pytest.raises(goque.ConfigurationError, match="not both"):
        goque.Supervisor(goque.Registry(), types=["a"], exclude_types=["b"])


def test_options_survive_the_way_to_the_root():
    options = SuperviseOptions(app="shop:registry", types=("a", "b"), drain=True, node_timeout=3.0)
    assert SuperviseOptions.from_json(options.to_json()) == options


def test_a_registry_that_was_handed_over_cannot_be_reloaded() -> None:
    with pytest.raises(goque.ConfigurationError, match="cannot reload the app"):
        goque.Supervisor(goque.Registry(), reload=True)
