"""The whole corpus as a stream of rows, fixed by the settings and the seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from training.data.attributes import canonical_input, format_attributes, normalise
from training.data.config import DataConfig, GeneratorConfig
from training.data.generator.tasks import description_prompt, other_task
from training.data.generator.venues import Attributes, draw_venue
from training.data.generator.writer import write
from training.data.records import DATA_TO_TEXT, Place, Record, Split

_TASKS_ALONE = 4
"""Pairs of each venue where nothing but other tasks is wanted."""
GENERATOR_LICENCE = "Apache-2.0 (made by this program; invented venues)"


def generate(config: DataConfig) -> Iterator[Record]:
    """`config.generator.pairs` rows.

    Every input has its own random stream, so a longer corpus begins with the shorter one.
    """
    settings = config.generator
    seen: set[str] = set()
    made = others = number = 0
    while made < settings.pairs:
        number += 1
        rng = Random(f"{config.seed}/{number}")
        venue = draw_venue(rng)
        group = canonical_input(format_attributes(venue))
        if group in seen:
            continue
        seen.add(group)
        split = _combination_split(config, venue) if settings.unseen_combinations else None
        if settings.other_tasks == 1:
            pairs = [_other(rng, venue) for _ in range(_TASKS_ALONE)]
        else:
            pairs = _descriptions(rng, venue, settings)
            while others < settings.other_tasks * (made + len(pairs)):
                pairs.append(_other(rng, venue))
                others += 1
        for task, prompt, answer in pairs[: settings.pairs - made]:
            made += 1
            message = {"role": "user", "content": prompt}
            yield Record(task, (message,), answer, split, group, Place("generator", made))


def _other(rng: Random, venue: Attributes) -> tuple[str, str, str]:
    task, (prompt, answer) = other_task(rng, venue)
    return task, prompt, answer


def _descriptions(rng: Random, venue: Attributes, settings: GeneratorConfig) -> list[tuple[str, str, str]]:
    """One prompt with several different descriptions; fewer where so few words allow no more."""
    prompt, style = description_prompt(rng, venue, settings.instructed)
    wanted = rng.randint(settings.min_references, settings.max_references)
    texts: dict[str, str] = {}
    for _ in range(8 * wanted):
        text = write(rng, venue, style)
        texts.setdefault(normalise(text), text)
        if len(texts) == wanted:
            break
    return [(DATA_TO_TEXT, prompt, text) for text in texts.values()]


def _combination_split(config: DataConfig, venue: Attributes) -> Split:
    """The split of a combination of attribute names, drawn by the shares in `config.splits`."""
    position = Random(f"{config.seed}/{sorted(venue)}").random()
    if position < config.splits.dev:
        return "dev"
    return "test" if position < config.splits.dev + config.splits.test else "train"
