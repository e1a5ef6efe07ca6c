"""The training pairs of a prepared data-to-text set, grouped by input, and the way back to a data set."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import TriviumError
from common.files import atomic_folder, sha256_file
from training.data.attributes import canonical_input, find_attributes, format_attributes
from training.examples import read_rows


class PairsError(TriviumError):
    """A data set does not hold what the headline job needs."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """One attribute list and its texts."""

    attributes: dict[str, str]
    """In the order of the input."""
    texts: tuple[str, ...]
    instruction: str = ""
    """What stands before the list, its line break included; the E2E inputs have nothing there."""

    @property
    def key(self) -> str:
        """Equal for equal attributes in any order."""
        return canonical_input(format_attributes(self.attributes))

    @property
    def prompt(self) -> str:
        """The content of the user message."""
        return self.instruction + format_attributes(self.attributes)


def read_pairs(path: Path) -> list[Pairs]:
    """The data-to-text rows of a split file, grouped by prompt in order of first appearance.

    Raises PairsError where no row has an attribute list.
    """
    groups: dict[str, list[str]] = {}
    for row in read_rows(path):
        messages = row.get("messages") or []
        if len(messages) == 2 and find_attributes(messages[0]["content"]):
            groups.setdefault(messages[0]["content"], []).append(messages[1]["content"])
    if not groups:
        raise PairsError(f"{path}: no row has an attribute list such as `name[…], food[…]` to answer")
    return [_pairs(prompt, texts) for prompt, texts in groups.items()]


def _pairs(prompt: str, texts: Sequence[str]) -> Pairs:
    attributes = find_attributes(prompt) or {}
    head, line_break, _ = prompt.rstrip().rpartition("\n")
    return Pairs(attributes, tuple(texts), head + line_break)


def usual_order(groups: Sequence[Pairs]) -> list[str]:
    """All slots in their usual order: by their mean position, counted from 0 to 1."""
    places: dict[str, list[float]] = {}
    for pairs in groups:
        for place, slot in enumerate(pairs.attributes):
            places.setdefault(slot, []).append((place + 0.5) / len(pairs.attributes))
    return sorted(places, key=lambda slot: sum(places[slot]) / len(places[slot]))


def values_of(groups: Sequence[Pairs]) -> dict[str, list[str]]:
    """Slot to the values that occur, sorted."""
    found: dict[str, set[str]] = {}
    for pairs in groups:
        for slot, value in pairs.attributes.items():
            found.setdefault(slot, set()).add(value)
    return {slot: sorted(values) for slot, values in found.items()}


def write_data(folder: Path, train: Iterable[Pairs], source: Path, dev: Sequence[Pairs] | None = None) -> int:
    """A data set with `train` as its training split; returns its rows.

    The dev and test files are those of the data set `source`, or dev pairs of one's own. Raises FileError.
    """
    with atomic_folder(folder) as part:
        rows = _write_split(part / "train.jsonl", train, "train")
        for name in ("dev.jsonl", "references-dev.jsonl", "test.jsonl", "references-test.jsonl"):
            if (source / name).is_file():
                shutil.copyfile(source / name, part / name)
        if dev is not None:
            _write_split(part / "dev.jsonl", dev, "dev")
            lines = [_line({"id": _id(p), "input": p.prompt, "references": list(p.texts)}) for p in dev]
            (part / "references-dev.jsonl").write_text("".join(lines), encoding="utf-8")
        (part / "card.json").write_text(
            json.dumps(_card(source, part, rows), indent=2) + "\n", encoding="utf-8"
        )
    return rows


def _write_split(path: Path, groups: Iterable[Pairs], split: str) -> int:
    rows = 0
    with path.open("w", encoding="utf-8") as stream:
        for pairs in groups:
            for text in pairs.texts:
                rows += 1
                messages = [
                    {"role": "user", "content": pairs.prompt}, {"role": "assistant", "content": text}
                ]  # fmt: skip
                row = {"id": f"{_id(pairs)}-{rows}", "task": "data-to-text", "split": split}
                stream.write(_line({**row, "messages": messages, "source": "made"}))
    return rows


def _card(source: Path, made: Path, rows: int) -> dict[str, object]:
    """The card of the source, with the digest of what was made of it."""
    try:
        card = json.loads((source / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise PairsError(f"{source}: no readable card.json ({exc}); prepare the data set again") from exc
    counts = {**card.get("rows", {}), "train": rows}
    digest = sha256_file(made / "train.jsonl")
    return {**card, "made_from": card.get("digest"), "digest": f"sha256:{digest}", "rows": counts}


def _id(pairs: Pairs) -> str:
    return hashlib.sha256(pairs.key.encode()).hexdigest()[:16]


def _line(row: dict[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
