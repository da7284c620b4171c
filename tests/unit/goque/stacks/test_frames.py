"""Frames as the interpreter writes them at a signal, and what is shown of them."""

from __future__ import annotations

import faulthandler
import os
from pathlib import Path

from goque.stacks import frames
from goque.stacks.frames import Frame, frame_lines, frames_of_handler, parse_dump, with_source

RUN_HANDLER = "/lib/goque/execution/run_handler.py"
PROCESSOR = str(Path(frames.__file__).parents[1] / "handlers" / "processor.py")


def test_what_faulthandler_writes_is_read(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "dump", os.O_RDWR | os.O_CREAT)
    faulthandler.dump_traceback(descriptor, all_threads=False)
    os.close(descriptor)
    found = parse_dump((tmp_path / "dump").read_text())
    assert found[-1].function == "test_what_faulthandler_writes_is_read"
    assert found[-1].file == __file__
    [shown] = with_source(found[-1:])
    assert shown.code == "faulthandler.dump_traceback(descriptor, all_threads=False)"


def test_the_last_of_several_stacks_is_read_with_the_outermost_call_first() -> None:
    text = (
        "Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n"
        '  File "/old.py", line 1 in old\n'
        "Stack (most recent call first):\n"
        '  File "/in a \\"place\\", line 2 in x.py", line 7 in inner\n'
        '  File "/\\u017elu\\xe9.py", line ??? in outer\n'
        "  ...\n"
    )
    assert parse_dump(text) == [
        Frame("/žlué.py", 0, "outer"),
        Frame('/in a \\"place\\", line 2 in x.py', 7, "inner"),
    ]


def test_what_is_no_stack_has_no_frames() -> None:
    assert parse_dump("") == parse_dump("Stack (most recent call first):\n  <no Python frame>\n") == []


def test_the_calls_that_led_to_the_handler_are_left_out() -> None:
    outer = [Frame("/lib/runpy.py", 1, "main"), Frame(RUN_HANDLER, 2, "handle"), Frame(PROCESSOR, 3, "call")]
    handler = [Frame("/srv/goque/app.py", 4, "crawl"), Frame("/lib/goque/steps/calls.py", 5, "step")]
    assert frames_of_handler([*outer, *handler]) == handler
    assert frames_of_handler(handler) == handler
    assert frames_of_handler(outer) == outer, "there is nothing else to show"


def test_source_is_read_from_regular_files_only(tmp_path: Path) -> None:
    source, pipe = tmp_path / "app.py", tmp_path / "pipe.py"
    source.write_text("first\n    second\n")
    os.mkfifo(pipe)
    asked = [
        Frame(str(source), 2, "f"),
        Frame(str(source), 9, "f"),
        Frame(str(pipe), 1, "f"),
        Frame("<string>", 1, "f"),
    ]
    assert [frame.code for frame in with_source(asked)] == ["second", "", "", ""]
    source.write_text("first\n    after a deploy, which is longer\n")
    assert with_source(asked)[0].code == "after a deploy, which is longer"


def test_lines_are_those_of_a_traceback() -> None:
    assert frame_lines([Frame("/a.py", 3, "f", "g()"), Frame("<string>", 0, "h")]) == [
        '  File "/a.py", line 3, in f',
        "    g()",
        '  File "<string>", line ?, in h',
    ]
