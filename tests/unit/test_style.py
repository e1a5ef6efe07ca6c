"""House rules that a reader feels: short files, short functions, guarded entry points."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 60


def python_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    return [ROOT / name for name in listed if (ROOT / name).exists()]


FILES = python_files()


def test_files_have_one_subject_that_fits_a_head() -> None:
    long = [
        f"{f.relative_to(ROOT)}: {n}"
        for f in FILES
        if (n := len(f.read_text().splitlines())) > MAX_FILE_LINES
    ]
    assert not long


def test_functions_are_short() -> None:
    long = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {length} lines")
    assert not long


def test_every_command_line_is_guarded() -> None:
    for path in FILES:
        if path.name == "__main__.py":
            assert '__name__ == "__main__"' in path.read_text(), f"{path} runs when it is imported"
