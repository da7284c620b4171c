"""Makes a film of a video in eight parts, one of which crashes its worker.

1. write a video, which is bytes here;
2. enqueue the task that cuts it, and run `goque supervise app:registry --drain`;
3. print the tasks as `goque list` shows them, and compare the film with the video.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from app import PART, Video, frames

import goque

HERE: Final = Path(__file__).resolve().parent
GOQUE: Final = (sys.executable, "-m", "goque.cli")
PARTS: Final = 8


def main() -> int:
    """Run the example; returns 0 if the film is what it should be."""
    out = parse_arguments()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    video, url = write_video(out / "sea.raw"), f"sqlite:///{out}/goque.db"
    with goque.TaskQueueManager(url) as queue:
        cut = queue.enqueue("cut", Video(str(video), str(out)))
        ended = subprocess.run(
            [*GOQUE, "supervise", "app:registry", "--drain", "--database-url", url], cwd=HERE, check=False
        )
        subprocess.run([*GOQUE, "list", "--database-url", url], check=True)
        flow = queue.get_flow(queue.get_task(cut.id).result)
    is_same = (out / "sea.film").exists() and frames(str(out / "sea.film")) == video.read_bytes()
    crashed = [task for task in flow.tasks if task.attempts]
    lost = [task for task in crashed if task.status == goque.TaskStatus.ATTEMPTS_LEFT]
    good = ended.returncode == 0 and flow.status == "done" and is_same and len(crashed) == 1
    print("As it should be:" if good else "NOT as it should be:", end=" ")
    told = f"flow {flow.name!r} is {flow.status}, {len(crashed)} of {PARTS} parts crashed"
    if lost:
        print(f"{told}, {len(lost)} for good, so there is no film.")
    else:
        print(f"{told} once, nobody else hurt.")
    return 0 if good else 1


def parse_arguments() -> Path:
    """Return where everything goes."""
    parser = argparse.ArgumentParser(description="Make a film with a flow of goque.")
    parser.add_argument(
        "--out", type=Path, default=HERE / "out", help="where files go; emptied [out, beside this]"
    )
    out: Path = parser.parse_args().out
    return out.resolve()


def write_video(file: Path) -> Path:
    """Write a video that can be compressed, the same each time."""
    waves = random.Random(1).randbytes(4096)
    file.write_bytes((waves * (PARTS * PART // len(waves)))[: PARTS * PART])
    return file


if __name__ == "__main__":
    sys.exit(main())
