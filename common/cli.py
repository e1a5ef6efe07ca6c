"""The edge of every command line: a user's mistake is one line on stderr and a non-zero exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from common.errors import TriviumError


def run(main: Callable[[], object]) -> None:
    """Call `main` (a Typer app or a function) and turn expected failures into exit codes.

    TriviumError: its text and its `exit_code`; Ctrl-C: 130; a closed pipe (`| head`): 141.
    """
    try:
        main()
    except TriviumError as exc:
        print(f"error: {exc}", file=sys.stderr)
        sys.exit(exc.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Python would complain again when it flushes stdout on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
