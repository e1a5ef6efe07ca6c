"""How the values of the closed slots are said: `lexicon.yaml` beside this file, checked and compiled.

The wording was drawn from the training half of the E2E corpus (Novikova et al., 2017, The E2E Dataset);
patterns per value, and verbal for numeric ratings, as in Dušek et al. (2019), Semantic Noise Matters.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from common.config import StrictModel, read_yaml
from common.errors import ConfigError

LEXICON_FILE = Path(__file__).with_name("lexicon.yaml")


_FRAGMENT = re.compile(r"<(\w+)>")


class Phrase(NamedTuple):
    """A pattern and every value (in lower case) that it can stand for."""

    pattern: re.Pattern[str]
    values: frozenset[str]
    weak: bool
    negation: bool


class _Group(StrictModel):
    values: list[str]
    phrases: list[str]
    weak: bool = False
    negation: bool = False


@lru_cache(maxsize=8)
def load_lexicon(path: Path = LEXICON_FILE) -> dict[str, list[Phrase]]:
    """Phrases by slot. Raises ConfigError for an unknown fragment, a wrong key or a bad pattern."""
    content = read_yaml(path)
    fragments: dict[str, str] = content.pop("fragments", {})
    lexicon: dict[str, list[Phrase]] = {}
    for slot, groups in content.items():
        lexicon[slot] = []
        for values in groups:
            group = _Group.from_dict(values, f"{path}: {slot}")
            meant = frozenset(value.lower() for value in group.values)
            patterns = (_compile(path, phrase, fragments) for phrase in group.phrases)
            lexicon[slot] += [Phrase(pattern, meant, group.weak, group.negation) for pattern in patterns]
    return lexicon


def _compile(path: Path, phrase: str, fragments: dict[str, str]) -> re.Pattern[str]:
    written_out = phrase
    try:
        while written_out != (inner := _FRAGMENT.sub(lambda m: fragments[m.group(1)], written_out)):
            written_out = inner
        return re.compile(rf"(?<!\w)(?:{written_out})(?!\w)")
    except KeyError as exc:
        raise ConfigError(f"{path}: phrase {phrase!r}: no fragment called {exc}") from exc
    except re.error as exc:
        raise ConfigError(f"{path}: phrase {phrase!r}: {exc}") from exc
