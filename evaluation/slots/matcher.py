"""Which slots a text realises, and with which value."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from evaluation.slots.attributes import Attribute
from evaluation.slots.lexicon import Phrase, load_lexicon

_NUMBERS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "eighteen": "18", "thirty": "30",
    "twenty five": "25", "twenty": "20",
}  # fmt: skip
_NUMBER = re.compile(rf"\b({'|'.join(_NUMBERS)})\b")
_OPEN_SLOTS = ("name", "near")


@dataclass(frozen=True)
class SlotError:
    """One error: kind is "missing", "added" or "wrong"; value is what was asked for, or what was added."""

    slot: str
    kind: str
    value: str


class _Said(NamedTuple):
    """A phrase found in a text."""

    start: int
    end: int
    phrase: Phrase

    def overrules(self, other: _Said) -> bool:
        """Negations overrule what they overlap; longer strong phrases what lies inside them."""
        if self.phrase.negation != other.phrase.negation:
            return self.phrase.negation and self.start < other.end and other.start < self.end
        longer = self.end - self.start > other.end - other.start
        return longer and not self.phrase.weak and self.start <= other.start and other.end <= self.end


class SlotMatcher:
    """Finds slot errors. Built with all attribute lists at hand, so that it knows the open slots' values."""

    def __init__(self, attribute_lists: Iterable[Iterable[Attribute]]) -> None:
        names = {
            (a.slot, a.value) for attributes in attribute_lists for a in attributes if a.slot in _OPEN_SLOTS
        }
        # Longest first, so that a name inside a longer one is not seen on its own.
        self._known = sorted(names, key=lambda item: (-len(item[1]), item))

    def errors(self, attributes: list[Attribute], text: str) -> list[SlotError]:
        """The slot errors of one text, at most one added value per slot.

        Equal values of two slots count for both ("near" may repeat a name). An empty text misses every slot.
        """
        plain = normalise(text)
        found: list[SlotError] = []
        asked = {a.slot: a.value for a in attributes}
        plain, said = self._take_open_values(plain, asked)
        for slot in _OPEN_SLOTS:
            others = [value for known_slot, value in said if known_slot == slot and value != asked.get(slot)]
            if slot in asked and asked[slot] not in {value for _, value in said}:
                found.append(SlotError(slot, "wrong" if others else "missing", asked[slot]))
            elif others:
                found.append(SlotError(slot, "added", others[0]))
        for slot in load_lexicon():
            found += _closed_slot_errors(slot, asked.get(slot), plain)
        return found

    def _take_open_values(self, plain: str, asked: dict[str, str]) -> tuple[str, list[tuple[str, str]]]:
        """Known names and places in the text, and the text with them blanked out.

        "Raja Indian Cuisine" must not count as Indian food, nor "Café Rouge" as a coffee shop. A value that
        is known under both open slots is filed where it is asked for.
        """
        said: list[tuple[str, str]] = []
        wanted = [(slot, asked[slot]) for slot in _OPEN_SLOTS if slot in asked]
        for slot, value in [*sorted(wanted, key=lambda item: -len(item[1])), *self._known]:
            blanked = _open_pattern(value).sub(" @ ", plain)
            if blanked != plain:
                said.append((slot, value))
                plain = blanked
        return plain, said


def normalise(text: str) -> str:
    """Lower case, no accents, straight quotes, digits for number words, hyphens as spaces, £ at amounts."""
    text = unicodedata.normalize("NFKD", text.replace("’", "'").replace("`", "'").replace("–", "-"))
    text = "".join(c for c in text if not unicodedata.combining(c)).lower()
    text = re.sub(r"(?<!\d)-|-(?![\d£])", " ", text)
    text = re.sub(r"n ?'t\b", " n't", text)
    text = _NUMBER.sub(lambda m: _NUMBERS[m.group(1)], text)
    text = re.sub(r"\b(\d+) ?(?:pounds?|gbp|quid|euros?)\b", r"£\1", text)
    # Typed where a keyboard had no pound sign.
    text = re.sub(r"\b[le](?=\d\d\b)", "£", text)
    return re.sub(r"[ \t]+", " ", text).strip()


@lru_cache(maxsize=4096)
def _open_pattern(value: str) -> re.Pattern[str]:
    words = normalise(value).removeprefix("the ").split()
    # A plural or possessive "s" may follow, punctuation may stand between the words.
    return re.compile(r"(?<!\w)(?:the )?" + r"[ '.-]*".join(re.escape(w) for w in words) + r"(?:'?s)?(?!\w)")


def _closed_slot_errors(slot: str, asked: str | None, plain: str) -> list[SlotError]:
    found = [
        _Said(match.start(), match.end(), phrase)
        for phrase in load_lexicon()[slot]
        for match in phrase.pattern.finditer(plain)
    ]
    kept = [said.phrase for said in found if not any(other.overrules(said) for other in found)]
    strong = [phrase for phrase in kept if not phrase.weak]
    if asked is None:
        return [SlotError(slot, "added", _any_value(strong[0].values))] if strong else []
    if any(_fits(asked, phrase.values) for phrase in strong) or _literal(slot, asked, plain):
        clash = next((phrase for phrase in strong if not _fits(asked, phrase.values)), None)
        return [SlotError(slot, "added", _any_value(clash.values))] if clash else []
    if strong:
        return [SlotError(slot, "wrong", asked)]
    return [] if any(_fits(asked, phrase.values) for phrase in kept) else [SlotError(slot, "missing", asked)]


def _fits(asked: str, values: frozenset[str]) -> bool:
    return asked.lower() in values


def _literal(slot: str, asked: str, plain: str) -> bool:
    """Values that the lexicon does not know (another corpus) are looked for as they stand."""
    if any(asked.lower() in phrase.values for phrase in load_lexicon()[slot]):
        return False
    return re.search(rf"(?<!\w){re.escape(normalise(asked))}s?(?!\w)", plain) is not None


def _any_value(values: frozenset[str]) -> str:
    return min(values)
