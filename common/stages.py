"""A list of commands that run in order, each once: what is done and unchanged is not done again.

Every stage is a command that a person can type. A stage is done when its command ended well and its
outputs are there; it is done again when its command, its settings, the code of the rooms it uses, or
any stage before it has changed.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError
from rich.console import Console

from common.errors import TriviumError
from common.files import atomic_write
from common.processes import tree_memory_bytes

OptionValue = str | int | Path | list[str]


class StageError(TriviumError):
    """A stage's command failed or left an output out."""

    exit_code = 1


@dataclass(frozen=True)
class Stage:
    """One step of a job."""

    name: str
    title: str
    command: tuple[str, ...]
    outputs: tuple[Path, ...]
    inputs: tuple[Path, ...] = ()
    """Files and folders whose content decides the result, for example configurations."""
    rooms: tuple[str, ...] = ()
    """Folders of code: a change there makes the stage stale."""
    always: bool = False
    """Run it every time: for what is quick and writes where other jobs write too."""
    afresh: tuple[str, ...] = ()
    """Added to the command where this is not the continuation of an interrupted run of the same stage."""
    after: tuple[str, ...] | None = None
    """Names of the earlier stages whose change makes this one stale; None: all of them."""


class Done(BaseModel):
    """What is remembered of a finished stage."""

    fingerprint: str
    seconds: float
    peak_memory_bytes: int


class State(BaseModel):
    """The finished stages of a job by name, kept in one JSON file."""

    stages: dict[str, Done] = {}
    begun: dict[str, str] = {}
    """Stage to the fingerprint with which it was last started."""

    @classmethod
    def load(cls, path: Path) -> State:
        """The state in `path`, or an empty one when there is none or it cannot be read."""
        try:
            return cls.model_validate_json(path.read_text())
        except (OSError, ValidationError):
            return cls()


def python_command(command: str, *arguments: str, **options: OptionValue) -> tuple[str, ...]:
    """`python -m <command> <arguments> --option value …`; a list gives its option several times."""
    words = [sys.executable, "-m", *command.split(), *arguments]
    for name, value in options.items():
        for item in value if isinstance(value, list) else [value]:
            words += [f"--{name.replace('_', '-')}", str(item)]
    return tuple(words)


def run_stages(stages: Sequence[Stage], state_path: Path, console: Console) -> State:
    """Run what is not done yet, in order; returns the state with seconds and peak memory per stage.

    Raises StageError naming the stage and how to go on. The state is saved after every stage, so that
    an interrupted job continues where it was.
    """
    state = State.load(state_path)
    fingerprint = ""
    fingerprints: dict[str, str] = {}
    for number, stage in enumerate(stages, 1):
        label = f"[bold cyan]{number}/{len(stages)} {stage.title}[/]"
        before = fingerprint if stage.after is None else "".join(fingerprints[name] for name in stage.after)
        fingerprint = fingerprints[stage.name] = _fingerprint(stage, before)
        done = state.stages.get(stage.name)
        finished = done is not None and done.fingerprint == fingerprint and not stage.always
        if done and finished and all(path.exists() for path in stage.outputs):
            console.print(f"{label}: done before ({done.seconds:.0f} s)")
        else:
            continued = state.begun.get(stage.name) == fingerprint
            command = (*stage.command, *(() if continued else stage.afresh))
            console.print(f"{label}\n[dim]$ {shlex.join(command)}[/]", highlight=False)
            state.begun[stage.name] = fingerprint
            atomic_write(state_path, state.model_dump_json(indent=2))
            done = _run(stage, command, fingerprint)
            console.print(
                f"{label}: {done.seconds:.0f} s, {done.peak_memory_bytes / 1e9:.1f} GB", highlight=False
            )
        state.stages[stage.name] = done
        atomic_write(state_path, state.model_dump_json(indent=2))
    return state


def _run(stage: Stage, command: tuple[str, ...], fingerprint: str) -> Done:
    started = time.monotonic()
    process = subprocess.Popen(command)
    with _PeakMemory(process.pid) as memory:
        try:
            code = process.wait()
        except BaseException:
            # Ctrl-C reaches the child too (same terminal): give it time to save its checkpoint.
            process.wait(30)
            raise
    if code:
        raise StageError(
            f"stage {stage.name!r} ended with exit code {code}: {shlex.join(command)}; "
            "mend what it said above and start again: finished stages are kept"
        )
    missing = [str(path) for path in stage.outputs if not path.exists()]
    if missing:
        raise StageError(f"stage {stage.name!r} ended well but did not write {', '.join(missing)}")
    return Done(
        fingerprint=fingerprint, seconds=time.monotonic() - started, peak_memory_bytes=memory.peak_bytes
    )


def _fingerprint(stage: Stage, before: str) -> str:
    digest = hashlib.sha256(json.dumps([before, stage.name, stage.command]).encode())
    code = [file for room in stage.rooms for file in sorted(Path(room).rglob("*.py"))]
    settings = [file for path in stage.inputs for file in _files(path)]
    for path in [*code, *settings]:
        digest.update(str(path).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path] if path.exists() else []


class _PeakMemory:
    """Samples the memory of a process tree once a second (PSS: shared pages count once)."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> _PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(1):
            self.peak_bytes = max(self.peak_bytes, tree_memory_bytes(self._pid))
