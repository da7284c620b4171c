"""Read the policies of this tree's types from its app, because fetchers may not have published them yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from goque.options import ProcessorSpec
from goque.storage.contract import TypePolicy, policy_of


def own_policies(specs: Iterable[dict[str, Any]], types: Collection[str]) -> dict[str, TypePolicy]:
    """Return the policies of these types.

    Args:
        specs: the processors of the app, as plain data.
        types: the types that this tree runs.
    """
    converted = [msgspec.convert(spec, ProcessorSpec) for spec in specs if spec["type"] in types]
    return {spec.type: policy_of(spec.type, spec.options) for spec in converted}
