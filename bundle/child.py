"""Verify in a short-lived child process, whose memory the system gets back.

The signing library keeps some 40 MB after its work is done; an edge server has 250 MB in all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from bundle import errors
from bundle.errors import BundleError, ChangedFile
from bundle.opened import Bundle

ROOT = Path(__file__).resolve().parent.parent
"""Where `bundle` is imported from, whatever the server's working folder is."""

PROGRAM = "import sys; from bundle.child import answer; sys.exit(answer(sys.argv[1:]))"


def verify_in_child(
    path: Path | str, public_key: Path | None = None, timeout_seconds: float = 600.0
) -> Bundle:
    """`bundle.verify` in a child process: same result and same errors, no signing library in this one.

    Raises BundleError also when the child dies or takes longer than `timeout_seconds`.
    """
    folder = Path(path)
    # -P: the working folder is not on the child's import path, so nothing there can pose as `bundle`.
    command = [sys.executable, "-P", "-c", PROGRAM, str(folder), *([str(public_key)] if public_key else [])]
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_seconds, check=False,
            stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": search},
        )  # fmt: skip
    except subprocess.TimeoutExpired as exc:
        raise BundleError(f"{folder}: verification took longer than {timeout_seconds:.0f} s") from exc
    except (OSError, ValueError) as exc:
        raise BundleError(f"{folder}: the verifying process did not start: {exc}") from exc
    try:
        outcome = json.loads(done.stdout)
    except ValueError as exc:
        tail = " ".join(done.stderr.split())[-300:]
        raise BundleError(f"{folder}: the verifying process ended with {done.returncode}: {tail}") from exc
    if "error" in outcome:
        raise getattr(errors, outcome["error"], BundleError)(outcome["message"])
    opened = Bundle.open(folder)
    if opened.digest != outcome["digest"]:
        raise ChangedFile(f"{folder}: the manifest changed while it was verified")
    return replace(opened, verified=True, signer=outcome["signer"])


def answer(arguments: list[str]) -> int:
    """The child: verify, and say on stdout as JSON what came of it."""
    from bundle.verify import verify

    try:
        bundle = verify(Path(arguments[0]), Path(arguments[1]) if len(arguments) > 1 else None)
    except BundleError as exc:
        print(json.dumps({"error": type(exc).__name__, "message": str(exc)}))
        return exc.exit_code
    print(json.dumps({"digest": bundle.digest, "signer": bundle.signer}))
    return 0
