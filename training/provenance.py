"""Which code trained, and by which command: what a bundle's manifest and the comparison state."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path


def git_commit() -> str | None:
    """The commit of this checkout, with `-dirty` where tracked files differ from it; None outside of git."""
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--abbrev=40",
        "--dirty",
        "--exclude=*",
    ]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def command_line() -> str:
    """The command that this process was started with, as a person would type it."""
    program, *arguments = sys.argv
    path = Path(program)
    # `python -m training` arrives here as the path of training/__main__.py.
    start = ["python", "-m", path.parent.name] if path.name == "__main__.py" else [path.name]
    return shlex.join([*start, *arguments])
