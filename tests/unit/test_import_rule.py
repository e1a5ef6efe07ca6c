"""The arrows between rooms go one way: the table in docs/architecture.md against the imports in the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(?P<room>[\w/]+)/` \| .* \| (?P<allowed>.*) \|$")


def allowed_imports() -> dict[str, set[str]]:
    """Room to the rooms that it may import, read from the documentation's table."""
    rows = [ROW.match(line) for line in (ROOT / "docs/architecture.md").read_text().splitlines()]
    rooms = {
        row["room"].replace("/", "."): set(re.findall(r"`(\w+)`", row["allowed"])) for row in rows if row
    }
    assert {"common", "bundle", "training", "edge", "services.gateway"} <= rooms.keys()
    return rooms


def room_of(module: str, rooms: set[str]) -> str | None:
    return next(
        (room for room in sorted(rooms, key=len, reverse=True) if f"{module}.".startswith(f"{room}.")), None
    )


def imported_modules(path: Path) -> set[str]:
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            found.add(".".join([*base, node.module or ""]).rstrip("."))
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


RULES = allowed_imports()


@pytest.mark.parametrize("room", sorted(set(RULES) - {"tests", "tradeoffs"}))
def test_room_imports_only_what_the_table_allows(room: str) -> None:
    files = list((ROOT / room.replace(".", "/")).rglob("*.py"))
    assert files, f"{room}/ has no Python file"
    for path in files:
        for module in imported_modules(path):
            other = room_of(module, set(RULES))
            assert other in {None, room, *RULES[room]}, f"{path.relative_to(ROOT)} imports {module}"


def test_no_room_imports_the_tests() -> None:
    for room in set(RULES) - {"tests"}:
        for path in (ROOT / room.replace(".", "/")).rglob("*.py"):
            assert not {m for m in imported_modules(path) if m.split(".")[0] == "tests"}, path
