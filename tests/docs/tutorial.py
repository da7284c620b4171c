"""Follows a page as its reader would: writes its files, types its commands, compares what they print.

A block of Python that begins with `# NAME.py` is a file. In a block of console text a line that begins with `$ ` is
a command, and the lines below it are lines of what it prints, where `…` stands for anything.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

PREPARES = re.compile(r"(python3 -m venv|\. \.venv|pip install|docker|sudo|createdb) ?")
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
STAYS = re.compile(r"goque supervise (?!.*--drain)")


class Command(NamedTuple):
    line: str
    prints: list[str]


class Walk:
    """One walk through a page, in a directory of its own; its commands share their exports."""

    def __init__(self, page: Path, directory: Path, database_url: str | None = None) -> None:
        self.directory = directory
        self.database_url = database_url
        self.environment = {n: v for n, v in os.environ.items() if not n.startswith("GOQUE_")}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment["COLUMNS"] = "200"
        self.blocks = BLOCK.findall(page.read_text("utf-8"))

    def run(self) -> list[str]:
        """Do all that the page says, and return the commands that were run."""
        done = []
        for language, text in self.blocks:
            if language == "python":
                name, _, _ = text.removeprefix("# ").partition("\n")
                assert re.fullmatch(r"[\w/]+\.py", name), f"a block of Python without a file name: {text}"
                (self.directory / name).write_text(text, "utf-8")
                continue
            for command in commands(text):
                if not PREPARES.match(command.line):
                    self.follow(command)
                    done.append(command.line)
        return done

    def follow(self, command: Command) -> None:
        if command.line.startswith("export "):
            name, _, value = command.line.removeprefix("export ").partition("=")
            self.environment[name] = self.database_url or value
            return
        if STAYS.match(command.line):
            self.supervise(command)
            return
        ran = self.shell(re.sub(r"\bID\b", lambda _: shlex.quote(self.last_listed()), command.line))
        assert ran.returncode == 0, f"{command.line}\n{ran.stdout}"
        assert missing(command, ran.stdout.splitlines()) == [], f"{command.line}\n{ran.stdout}"

    def supervise(self, command: Command) -> None:
        """Run a tree until it has printed what the page says, then press Ctrl-C."""
        tree = subprocess.Popen(
            shlex.split(command.line),
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert tree.stdout is not None
        too_late = threading.Timer(40, tree.kill)
        too_late.start()
        lines: list[str] = []
        with tree.stdout:
            while missing(command, lines) and (line := tree.stdout.readline()):
                lines.append(line)
            tree.send_signal(signal.SIGINT)
            lines += tree.stdout.readlines()
        code = tree.wait()
        too_late.cancel()
        assert (code, missing(command, lines)) == (0, []), "".join(lines)

    def last_listed(self) -> str:
        """Return the id of the newest task that failed for good."""
        listed = self.shell("goque list --status attempts_left --json").stdout
        return str(json.loads(listed.splitlines()[0])["id"])

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )


def commands(text: str) -> list[Command]:
    found: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(Command(re.sub(r"\s+#.*", "", line.removeprefix("$ ")), []))
        elif line.strip() not in {"", "…"}:
            found[-1].prints.append(line)
    return found


def missing(command: Command, printed: list[str]) -> list[str]:
    """Return the lines that a command should have printed and has not."""
    lines = [line.strip() for line in printed]
    patterns = {
        expected: ".*".join(re.escape(part) for part in expected.strip().split("…"))
        for expected in command.prints
    }
    return [
        one for one, pattern in patterns.items() if not any(re.fullmatch(pattern, line) for line in lines)
    ]
