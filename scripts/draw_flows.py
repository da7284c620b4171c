"""Draw sample flows into one HTML page with the dashboard's style sheets, so that you can look at them.

Run it with the interpreter of .venv: python scripts/draw_flows.py PAGE.html [NAME …]
"""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from goque.dashboard.flow_drawing import FlowNode, draw_flow

STATIC = Path(__file__).resolve().parents[1] / "goque/dashboard/static"


def node(name: str, kind: str, status: str, *needs: str, note: str = "") -> FlowNode:
    """Make a node whose id looks like that of a task."""
    return FlowNode(name, kind, status, needs, href=f"/task/{name}", note=note)


def video() -> list[FlowNode]:
    """Split a video, encode 40 parts, join them, announce the result."""
    states = ["done"] * 21 + ["processing"] * 4 + ["pending"] * 3 + ["error"] + ["new"] * 11
    parts = [
        node(f"0198f3c2-part-{at:04}", "encode", state, "0198f3c2-split") for at, state in enumerate(states)
    ]
    names = [part.id for part in parts]
    return [
        node("0198f3c2-split", "split", "done"),
        *parts,
        node("0198f3c2-join", "join", "blocked", *names),
        node("0198f3c2-announce", "announce", "blocked", "0198f3c2-join", "of-another-flow"),
    ]


def diamond() -> list[FlowNode]:
    """Fetch, work in two ways, and put both together."""
    return [
        node("fetch-a1b2c3d4", "fetch", "done"),
        node("thumb-77aa01bc", "make_thumbnail", "processing", "fetch-a1b2c3d4"),
        node("speech-9d0e11f2", "transcribe_speech", "new", "fetch-a1b2c3d4"),
        node("index-5e6f7a8b", "index", "blocked", "thumb-77aa01bc", "speech-9d0e11f2"),
    ]


def chain() -> list[FlowNode]:
    """Thirty tasks, one after another."""
    states = ["done"] * 6 + ["processing"] + ["blocked"] * 23
    return [
        node(f"step-{at:02}", f"step_{at}", state, *([f"step-{at - 1:02}"] if at else []))
        for at, state in enumerate(states)
    ]


def fan() -> list[FlowNode]:
    """Two hundred parts and a join, with two parts that failed."""
    states = [
        "attempts_left" if at in {17, 120} else "done" if at < 150 else "processing" for at in range(200)
    ]
    parts = [
        node(
            f"row-{at:03}",
            "import_rows",
            state,
            "plan",
            note="worker crashed: signal 11 (SIGSEGV)" * (at == 17),
        )
        for at, state in enumerate(states)
    ]
    return [
        node("plan", "plan", "done"),
        *parts,
        node("join", "join", "canceled", *(part.id for part in parts)),
    ]


def failed() -> list[FlowNode]:
    """A release in which one test failed, which canceled what needs it."""
    return [
        node("checkout-01", "checkout", "done"),
        node("lint-02", "lint", "done", "checkout-01"),
        node("build-03", "build_wheel", "done", "checkout-01"),
        node("docs-04", "build_docs", "processing", "checkout-01"),
        node("unit-05", "test_unit", "done", "build-03"),
        node(
            "browser-06", "test_browser", "attempts_left", "build-03", note="TimeoutError: no page after 30 s"
        ),
        node("load-07", "test_load", "error", "build-03", note="ConnectionError: refused"),
        node("manual-08", "ask_for_approval", "canceled", "lint-02"),
        node(
            "publish-09",
            "publish",
            "canceled",
            "unit-05",
            "browser-06",
            "load-07",
            note="needs test_browser …",
        ),
        node("site-10", "publish_docs", "blocked", "docs-04", "checkout-01"),
        node("announce-11", "announce", "canceled", "publish-09", "site-10"),
        node("report-12", "send_report", "pending", "browser-06", "lint-02"),
    ]


def lanes() -> list[FlowNode]:
    """Twenty-two pipelines of three steps between a split and a join."""
    made = [node("start", "start", "done")]
    for at in range(22):
        states = ("done", "done", "processing") if at % 3 else ("done", "processing", "blocked")
        for step, (kind, state) in enumerate(zip(("download", "encode", "upload"), states, strict=True)):
            made.append(node(f"{kind}-{at}", kind, state, made[-1].id if step else "start"))
    return [*made, node("publish", "publish", "blocked", *(f"upload-{at}" for at in range(22)))]


def many() -> list[FlowNode]:
    """Ten thousand tasks, which are folded by type and depth."""
    made = [node("scan", "scan", "done")]
    for at in range(3332):
        bad = at % 500 == 3
        made += [
            node(f"get-{at}", "download", "done", "scan"),
            node(
                f"ocr-{at}",
                "recognise",
                "attempts_left" if bad else "done" if at < 2000 else "new",
                f"get-{at}",
            ),
            node(
                f"put-{at}", "store", "canceled" if bad else "done" if at < 1800 else "blocked", f"ocr-{at}"
            ),
        ]
    made += [
        node("count", "count_words", "blocked", *(f"ocr-{at}" for at in range(10, 3332, 2))),
        node("sum", "sum_up", "canceled", "scan", "count", *(f"put-{at}" for at in range(3332))),
        node("mail", "send_mail", "canceled", "sum"),
    ]
    return made


def strange() -> list[FlowNode]:
    """Texts and needs that nobody should write."""
    return [
        node("one<script>", "<script>alert(1)</script>", "new", "one<script>"),
        node("two", "\u202eevil\u202c \x00\x07 type", "done", "one<script>", "four", note="\x1b[31m&\"'"),
        node("three", "x" * 10_000, "processing", "two", note="y" * 10_000),
        node("four", "任务处理任务处理任务处理任务处理", "no status <b>", "three"),
        node("five", "Z̷̡̢̛̳̖̤͔͓͚̈́̉̊̋͌alg\u0301o" + "\u0300" * 60, "blocked", "three"),
        node("six", "שלום עולם, זוהי משימה ארוכה", "canceled", "three"),
    ]


SAMPLES: Sequence[Callable[[], list[FlowNode]]] = (video, diamond, failed, fan, chain, lanes, many, strange)


def main(arguments: Sequence[str]) -> int:
    """Write the page."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    wanted = set(arguments[1:])
    parts = []
    for sample in SAMPLES:
        if wanted and sample.__name__ not in wanted:
            continue
        drawing = draw_flow(sample())
        parts.append(
            f'<section class="panel"><h2>{sample.__name__} <small>{html.escape(drawing.summary)}</small></h2>'
            f'<div class="flow" role="region" tabindex="0" aria-label="{sample.__name__}">{drawing.svg}</div></section>'
        )
    styles = "".join(
        f'<link rel="stylesheet" href="{STATIC / name}">' for name in ("dashboard.css", "flow.css")
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Sample flows</title>{styles}<main>{''.join(parts)}</main></html>"
    )
    Path(arguments[0]).write_text(page, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
