"""Verify in a short-lived child process, whose memory the system gets back.

The signing library keeps 40 MB after its work is done; an edge server has 250 MB in all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from bundle import errors
from bundle.errors import BundleError, ChangedFile
from bundle.opened import Bundle

ROOT = Path(__file__).resolve().parent.parent
"""Where `python -m bundle` is found, whatever the server's working folder is."""


def verify_in_child(
    path: Path | str, public_key: Path | None = None, timeout_seconds: float = 600.0
) -> Bundle:
    """`bundle.verify` in a child process: same result, same BundleError subclasses, no signing library in this one.

    Raises BundleError also when the child dies or takes longer than `timeout_seconds`.
    """
    folder = Path(path)
    command = [sys.executable, "-m", "bundle.child", str(folder), *([str(public_key)] if public_key else [])]
    try:
        # -m puts the working folder first on the path; PYTHONPATH adds ours for servers started elsewhere.
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_seconds, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired as exc:
        raise BundleError(f"{folder}: verification took longer than {timeout_seconds:.0f} s") from exc
    try:
        answer = json.loads(done.stdout)
    except ValueError as exc:
        tail = " ".join(done.stderr.split())[-300:]
        raise BundleError(
            f"{folder}: the verifying process ended with code {done.returncode}: {tail}"
        ) from exc
    if "error" in answer:
        kind = getattr(errors, answer["error"], BundleError)
        raise kind(answer["message"])
    opened = Bundle.open(folder)
    if opened.digest != answer["digest"]:
        raise ChangedFile(f"{folder}: the manifest changed while it was verified")
    return replace(opened, verified=True, signer=answer["signer"])


def _environment() -> dict[str, str]:
    import os

    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def main(arguments: list[str]) -> int:
    """The child: verify, and say on stdout as JSON what came of it."""
    from bundle.verify import verify

    try:
        bundle = verify(Path(arguments[0]), Path(arguments[1]) if len(arguments) > 1 else None)
    except BundleError as exc:
        print(json.dumps({"error": type(exc).__name__, "message": str(exc)}))
        return exc.exit_code
    print(json.dumps({"digest": bundle.digest, "signer": bundle.signer}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
