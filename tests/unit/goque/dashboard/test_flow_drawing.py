"""The drawing of a flow: what its SVG says, shows and never contains."""

from __future__ import annotations

import re
import runpy
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from goque.dashboard.flow.icons import KINDS, OTHER, SHAPES
from goque.dashboard.flow_drawing import MAX_NODES, FlowDrawing, FlowNode, draw_flow
from goque.dashboard.render import environment
from tests.unit.goque.dashboard.flow.flows import chain, fan, node, random_flow

SVG = "{http://www.w3.org/2000/svg}"
STYLES = Path(__file__).parents[4] / "goque/dashboard/static/flow.css"
MESH = [node(f"{stage}{at}", *("abc" if stage else ())) for stage in ("", "x") for at in "abc"]
HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b]0;\u202e\ud800\ufffe\r\n" + "x" * 10_000


def elements(drawing: FlowDrawing) -> list[ET.Element]:
    return list(ET.fromstring(drawing.svg).iter())


def with_class(drawing: FlowDrawing, name: str) -> list[ET.Element]:
    return [one for one in elements(drawing) if name in one.get("class", "").split()]


def title_of(element: ET.Element) -> str:
    return element.findtext(f"{SVG}title", "")


def test_each_task_is_a_link_that_says_its_type_id_status_and_note():
    drawing = draw_flow(
        [
            node("id-1", kind="encode", status="attempts_left", href="/task?a=1&b=2", note="boom"),
            node("id-2", "id-1"),
        ]
    )
    link, other = (*with_class(drawing, "flow-task"),)
    assert (link.tag, other.tag) == (f"{SVG}a", f"{SVG}g")
    assert link.get("href") == "/task?a=1&b=2"
    assert title_of(link) == "encode\nid-1\nfailed (attempts_left)\nboom"


def test_the_drawing_says_its_counts_in_words():
    drawing = draw_flow(
        [
            node("a", status="done"),
            node("b", "a", status="error"),
            node("c", "b", "elsewhere", status="blocked"),
        ]
    )
    root = ET.fromstring(drawing.svg)
    assert root.get("role") == "graphics-document img"
    assert root.findtext(f"{SVG}title") == "Flow of 3 tasks"
    assert root.findtext(f"{SVG}desc") == drawing.summary
    assert drawing.summary == "1 done, 1 retrying, 1 blocked. 1 need is outside of this flow."
    ids = {one.get("id") for one in root.iter()}
    assert {root.get("aria-labelledby"), root.get("aria-describedby")} <= ids


def test_the_failed_path_is_marked_and_nothing_else():
    drawing = draw_flow(
        [
            node("bad", status="attempts_left"),
            node("fine", status="done"),
            node("hit", "bad", "fine", status="canceled"),
            node("hit_too", "hit", status="canceled"),
            node("anyway", "bad", status="done"),
            node("by_hand", "fine", status="canceled"),
        ]
    )
    marked = {title_of(one).split("\n")[1] for one in with_class(drawing, "flow-failed-path")}
    assert marked == {"bad", "hit", "hit_too"}
    told = {title_of(one) for one in with_class(drawing, "flow-link-failed")}
    assert told == {"type_hit needs type_bad, which failed", "type_hit_too needs type_hit, which failed"}
    assert len(with_class(drawing, "flow-link")) == 5
    assert ["failed" in title_of(one) for one in with_class(drawing, "flow-link")] == [False] * 3 + [True] * 2
    heads = {one.get("marker-end") for one in with_class(drawing, "flow-link-failed")}
    assert heads == {"url(#flow-head-failed)"}


def test_each_status_has_its_own_icon_class_and_word():
    drawing = draw_flow([node(f"{status}-id", status=status) for status in (*KINDS, "unheard-of")])
    tasks = with_class(drawing, "flow-task")
    icons = [use.get("href") for task in tasks for use in task.iter(f"{SVG}use")]
    assert sorted(map(str, icons)) == sorted(f"#flow-icon-{kind}" for kind in SHAPES)
    assert len(set(SHAPES.values())) == len(SHAPES) == len(KINDS) + 1
    assert len({one.get("class") for one in tasks}) == len(SHAPES)
    words = {task.findtext(f"{SVG}svg/{SVG}text[@class='flow-status']") for task in tasks}
    assert len(words) == len(SHAPES)
    assert "unheard-of" in words
    assert OTHER in SHAPES


def test_a_fan_has_a_cell_with_a_link_for_each_part():
    parts = [node(f"p{at}", "split", kind="part", href=f"/task/p{at}") for at in range(200)]
    drawing = draw_flow([node("split"), *parts, node("join", *(part.id for part in parts))])
    assert [one.get("href") for one in with_class(drawing, "flow-cell")] == [part.href for part in parts]
    assert not drawing.folded
    assert (
        sum(title_of(one).startswith("type_join needs part: 200") for one in with_class(drawing, "flow-link"))
        == 1
    )


def test_a_large_flow_is_folded_and_a_small_one_is_not():
    assert not draw_flow(chain(MAX_NODES)).folded
    drawing = draw_flow(fan(MAX_NODES))
    assert drawing.folded
    assert not with_class(drawing, "flow-task")
    assert not with_class(drawing, "flow-cell")
    assert [title_of(one) for one in with_class(drawing, "flow-folded")] == [
        "type_split\n1 task: 1 waiting",
        "part\n300 tasks: 300 waiting",
        "type_join\n1 task: 1 waiting",
    ]
    counts = [one.findtext(f"{SVG}text") for one in with_class(drawing, "flow-count")]
    assert counts == ["×300", "×300"]  # noqa: RUF001  # what people see
    assert "Each box stands for the tasks of one type at one depth." in drawing.summary


def test_a_small_flow_with_more_links_than_anybody_can_follow_is_folded():
    drawing = draw_flow([node(f"n{at}", *(f"n{low}" for low in range(at))) for at in range(100)])
    assert drawing.folded
    assert "smaller links between boxes are not drawn" in drawing.summary


@pytest.mark.parametrize("copies", [1, 20, 400])
def test_hostile_texts_are_escaped_and_cut(copies):
    nodes = [
        FlowNode(
            f"{HOSTILE}{at}",
            HOSTILE,
            HOSTILE,
            (f"{HOSTILE}{at}", "gone" + HOSTILE, *(["root"] if copies > 1 else [])),
            HOSTILE[:60],
            HOSTILE,
        )
        for at in range(copies)
    ]
    drawing = draw_flow([node("root"), *nodes])
    assert len(drawing.svg) < 8000 + 5000 * min(copies, 20)
    allowed = {
        "svg",
        "title",
        "desc",
        "defs",
        "symbol",
        "marker",
        "path",
        "circle",
        "rect",
        "use",
        "text",
        "g",
        "a",
    }
    assert {one.tag.removeprefix(SVG) for one in elements(drawing)} <= allowed
    shown = "".join(ET.fromstring(drawing.svg).itertext())
    assert "\u202e" not in shown
    assert "\\u202e" in shown


@pytest.mark.parametrize(
    "nodes",
    [fan(50), chain(30), random_flow(1), fan(400), MESH],
    ids=["fan", "chain", "random", "folded", "mesh"],
)
def test_the_policy_of_the_dashboard_allows_each_element_and_the_style_sheet_knows_each_class(nodes):
    drawing = draw_flow(nodes)
    styles = STYLES.read_text("utf-8")
    for one in elements(drawing):
        assert one.tag not in {f"{SVG}style", f"{SVG}script", f"{SVG}foreignObject"}
        assert not any(name == "style" or name.startswith("on") for name in one.attrib)
        for name in one.get("class", "").split():
            assert re.search(rf"\.{name}\b", styles) or name in {
                "flow-task",
                "flow-group",
                "flow-folded",
                "flow-cell",
            }


def test_the_style_sheet_moves_nothing_for_people_who_want_less_motion():
    outside = re.sub(
        r"@media \(prefers-reduced-motion: no-preference\) \{.*?\n\}",
        "",
        STYLES.read_text("utf-8"),
        flags=re.DOTALL,
    )
    assert "animation" in STYLES.read_text("utf-8")
    assert "animation" not in outside
    assert "transition" not in outside


def test_the_colours_are_variables_of_the_dashboard():
    known = set(re.findall(r"(--[a-z-]+):", STYLES.with_name("dashboard.css").read_text("utf-8")))
    styles = STYLES.read_text("utf-8")
    assert set(re.findall(r"var\((--[a-z-]+)\)", styles)) <= known
    assert not re.search(r"#[0-9a-f]{3,8}\b|rgb\(", styles)


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [node("a", "a")],
        [node("a", "b"), node("b", "a")],
        [node(f"n{at}", f"n{(at + 1) % 1000}", "n0") for at in range(1000)],
        [node("a"), node("a", "a")],
    ],
    ids=["nothing", "itself", "two", "thousand", "twice"],
)
def test_strange_flows_are_drawn(nodes):
    drawing = draw_flow(nodes)
    root = ET.fromstring(drawing.svg)
    assert (root.get("width"), root.get("height")) == (str(drawing.width), str(drawing.height))
    assert drawing.width > 0


def test_a_template_puts_a_drawing_into_its_page_unescaped():
    drawing = draw_flow([node("a", kind="a<b")])
    assert environment().from_string("{{ drawing.svg }}").render(drawing=drawing) == drawing.svg
    assert "a&lt;b" in drawing.svg


def test_the_samples_can_be_drawn_into_a_page(tmp_path):
    program = runpy.run_path(str(STYLES.parents[3] / "scripts/draw_flows.py"))
    assert program["main"]([str(tmp_path / "page.html"), "video", "failed"]) == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<svg xmlns") == 2
    assert "test_browser" in page


def wide(size: int) -> list[FlowNode]:
    return fan(size)


def deep(size: int) -> list[FlowNode]:
    return [node(f"n{at}", *([f"n{at - 1}"] if at else []), kind=f"kind-{at % 5}") for at in range(size)]


def colourful(size: int) -> list[FlowNode]:
    return [node(f"n{at}", *([f"n{at // 2}", f"n{at // 3}"] if at else [])) for at in range(size)]


def circular(size: int) -> list[FlowNode]:
    return [
        node(f"n{at}", f"n{at ^ 1}", *([f"n{at - 2}"] if at > 1 else []), kind="same") for at in range(size)
    ]


@pytest.mark.parametrize("make", [wide, deep, colourful, circular])
def test_the_time_grows_in_step_with_the_flow(make: Callable[[int], list[FlowNode]]):
    def seconds(size: int) -> float:
        nodes, times = make(size), []
        for _ in range(3):
            start = time.process_time()
            draw_flow(nodes)
            times.append(time.process_time() - start)
        return min(times)

    small, large = seconds(2_000), seconds(16_000)
    assert large < 24 * small + 0.05, "a flow 8 times as large must not take 64 times as long"
