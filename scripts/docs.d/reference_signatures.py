"""Write how a function or a class is called, from its source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import griffe

MAX_LINE: Final = 88


def signature(found: Any) -> str:
    """Return how a name is called, or the type of a value; long ones with a line for each argument."""
    if found.is_module:
        return ""
    if found.is_attribute:
        is_typed = found.annotation and str(found.annotation) != "Final"
        return f"{found.name}: {found.annotation}" if is_typed else f"{found.name} = {found.value}"
    arguments = [*arguments_of(found)]
    if found.is_class and not arguments:
        return ""
    keyword = "async def" if "async" in found.labels else "def" if found.is_function else "class"
    returns = f" -> {found.returns}" if found.is_function and found.returns else ""
    short = f"{keyword} {found.name}({', '.join(arguments)}){returns}"
    if len(short) <= MAX_LINE or not arguments:
        return short
    return f"{keyword} {found.name}(\n" + "".join(f"    {each},\n" for each in arguments) + f"){returns}"


def arguments_of(found: Any) -> Iterator[str]:
    """Return the arguments of a function or a class, with the marks for positional and keyword ones."""
    if found.is_class and "__init__" not in found.all_members:
        yield from struct_arguments(found)
        return
    stars = {"variadic positional": "*", "variadic keyword": "**"}
    before = ""
    for parameter in found.parameters:
        kind = parameter.kind.value
        if parameter.name in {"self", "cls"}:
            continue
        if before == "positional-only" and kind != before:
            yield "/"
        if kind == "keyword-only" and before not in {"keyword-only", "variadic positional"}:
            yield "*"
        before = kind
        annotation = f": {parameter.annotation}" if parameter.annotation else ""
        default = f" = {parameter.default}" if parameter.default and not stars.get(kind) else ""
        yield f"{stars.get(kind, '')}{parameter.name}{annotation}{default}"
    if before == "positional-only":
        yield "/"


def struct_arguments(found: Any) -> Iterator[str]:
    """Return the arguments of a msgspec.Struct, which are its attributes."""
    if str(found.keywords.get("kw_only")) == "True":
        yield "*"
    for attribute in found.members.values():
        if attribute.is_attribute and "property" not in attribute.labels and attribute.annotation:
            default = f" = {attribute.value}" if attribute.value else ""
            yield f"{attribute.name}: {attribute.annotation}{default}"


def constant(value: Any) -> str:
    """Return a default, or the value of the constant that it names."""
    if isinstance(value, griffe.ExprName) and value.name.isupper() and value.parent is not None:
        named = value.parent.modules_collection[value.canonical_path]
        return str(named.final_target.value if named.is_alias else named.value)
    return str(value)
