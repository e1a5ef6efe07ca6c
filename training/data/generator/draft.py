"""A text in the making: what has not been said yet, and the building blocks that say it."""

from __future__ import annotations

from random import Random
from typing import Literal

from training.data.generator.phrases import AREAS, LOCATED, NEARBY, Phrases, phrases_for
from training.data.generator.venues import Attributes

Style = Literal["plain", "one sentence", "several sentences"]

_NEUTRAL_HEADS = ("place", "venue", "spot", "establishment")
# The order of adjectives before a noun: a well-rated, cheap, family-friendly Thai pub.
_FACTS = ("customer rating", "priceRange", "familyFriendly", "food")


class Draft:
    """`facts` and `places` are the attributes not yet said; every block takes away what it says."""

    def __init__(self, rng: Random, venue: Attributes, style: Style) -> None:
        self.rng = rng
        self.venue = venue
        self.style = style
        self.name = venue.get("name")
        self.kind = venue.get("eatType")
        self.head = self.kind or rng.choice(_NEUTRAL_HEADS)
        self.one_sentence = style == "one sentence"
        self.facts = [key for key in _FACTS if key in venue]
        rng.shuffle(self.facts)
        self.places = [key for key in ("area", "near") if key in venue]

    @property
    def done(self) -> bool:
        """Whether every attribute has been said."""
        return not self.facts and not self.places

    def phrases(self, key: str) -> Phrases:
        """What can be said about the attribute `key`."""
        return phrases_for(key, self.venue)

    def adjectives_left(self) -> list[str]:
        """The facts not yet said that can stand before a noun."""
        return [key for key in self.facts if self.phrases(key).adjectives]

    def noun(self, leave: int = 0) -> str:
        """The noun with its article and up to three adjectives; at least `leave` facts or places stay for
        later.

        A neutral noun gets an adjective where it can: "a place" alone says nothing.
        """
        wanted = {"several sentences": 1, "plain": self.rng.choice((0, 1, 1, 2, 2, 3)), "one sentence": 3}[
            self.style
        ]
        if self.kind is None:
            wanted = max(1, wanted)
        spare = max(0, len(self.facts) + len(self.places) - leave)
        taken = sorted(self.adjectives_left()[: min(wanted, spare)], key=_FACTS.index)
        words = []
        for key in taken:
            self.facts.remove(key)
            words.append(self.rng.choice(self.phrases(key).adjectives))
        # Food belongs to the noun and takes no comma: "a cheap, family-friendly Thai pub".
        kind = [words.pop()] if "food" in taken else []
        return with_article(" ".join([*([", ".join(words)] if words else []), *kind, self.head]))

    def tail(self) -> str:
        """A phrase behind the noun about one more fact, sometimes, with a space before it."""
        chance = {"several sentences": 0.0, "plain": 0.4, "one sentence": 1.0}[self.style]
        # In a single sentence a tail must be the end: "where a meal costs £20 that is near …" does not read
        # well.
        last = len(self.facts) == 1 and not self.places
        if not self.facts or (self.one_sentence and not last) or self.rng.random() >= chance:
            return ""
        return " " + self.rng.choice(self.phrases(self.facts.pop()).tails)

    def maybe_place(self) -> str:
        """Where it is, with a space before it, or nothing."""
        chance = 0.35 if self.style == "several sentences" else 0.7
        return f" {self.place()}" if self.places and self.rng.random() < chance else ""

    def place(self) -> str:
        """Where it is: the area, the neighbour, or both at once."""
        together = len(self.places) == 2 and (self.one_sentence or self.rng.random() < 0.7)
        taken = list(self.places) if together else [self.rng.choice(self.places)]
        self.places = [key for key in self.places if key not in taken]
        parts = [
            self.rng.choice(AREAS[self.venue["area"]])
            if key == "area"
            else self.rng.choice(NEARBY).format(self.venue["near"])
            for key in taken
        ]
        self.rng.shuffle(parts)
        return " ".join(parts)

    def predicate(self) -> str:
        """One to three verb phrases; in a single sentence all that is left."""
        most = {"several sentences": 1, "plain": 3, "one sentence": len(self.facts)}[self.style]
        count = most if self.one_sentence else min(len(self.facts), self.rng.randint(1, most))
        keys = [self.facts.pop() for _ in range(count)]
        # What speaks for and what speaks against stay together, so that one "but" is enough.
        keys.sort(key=lambda key: -self.phrases(key).polarity)
        verbs = [(self.rng.choice(self.phrases(key).verbs), self.phrases(key).polarity) for key in keys]
        if self.places and (self.one_sentence or not verbs or (len(verbs) < 3 and self.rng.random() < 0.35)):
            located = (self.rng.choice(LOCATED).format(self.place()), 0)
            verbs.insert(self.rng.choice((0, len(verbs))), located)
        return coordinate(verbs)


def coordinate(verbs: list[tuple[str, int]]) -> str:
    """Join (verb phrase, polarity) pairs with commas and "and", or "but" where praise turns into blame."""
    texts = [text for text, _ in verbs]
    if len(texts) == 1:
        return texts[0]
    if verbs[-1][1] * verbs[-2][1] < 0:
        return f"{coordinate(verbs[:-1])} but {texts[-1]}"
    return ", ".join(texts[:-1]) + " and " + texts[-1]


def with_article(noun: str) -> str:
    """`noun` with "a" or "an"; "one-star" is the only word of the lexicon pronounced against its spelling."""
    vowel = noun[0].lower() in "aeiou" and not noun.startswith("one")
    return f"{'an' if vowel else 'a'} {noun}"
