"""The words for each attribute value, by the grammatical role they can play.

Roles: `adjectives` before the noun; `verbs`: a verb phrase in the third person singular; `tails` after the
noun; `clauses`: a whole sentence without its full stop, in which {it} stands for the venue.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.data.generator.venues import Attributes


@dataclass(frozen=True, slots=True)
class Phrases:
    """What can be said about one attribute. `polarity`: 1 speaks for the venue, -1 against it, 0 neither."""

    verbs: tuple[str, ...]
    clauses: tuple[str, ...]
    adjectives: tuple[str, ...] = ()
    tails: tuple[str, ...] = ()
    polarity: int = 0


_PRICES = {
    "cheap": Phrases(
        verbs=(
            "is cheap", "has low prices", "keeps its prices low", "is inexpensive",
            "offers cheap meals",
        ),
        clauses=(
            "prices are low", "a meal here is cheap", "you will not pay much here", "eating here is cheap",
        ),
        adjectives=("cheap", "inexpensive", "low-cost", "low-priced"),
        tails=("with low prices", "with inexpensive meals", "where prices are low"),
        polarity=1,
    ),
    "moderate": Phrases(
        verbs=(
            "has moderate prices", "is moderately priced", "is in the moderate price range",
            "charges moderate prices",
        ),
        clauses=("prices are moderate", "the price range is moderate", "you will pay a moderate price here"),
        adjectives=("moderately priced", "mid-priced"),
        tails=("with moderate prices", "with a moderate price range", "in the moderate price range"),
    ),
    "high": Phrases(
        verbs=("is expensive", "has high prices", "charges high prices", "is in the high price range"),
        clauses=(
            "prices are high", "the price range is high", "eating here is expensive",
            "a meal here is expensive",
        ),
        adjectives=("expensive", "high-priced", "pricey"),
        tails=("with high prices", "with a high price range", "where prices are high"),
        polarity=-1,
    ),
    "less than £20": Phrases(
        verbs=(
            "costs less than £20", "charges less than £20", "has prices below £20",
            "keeps its prices under £20",
        ),
        clauses=(
            "prices are below £20", "a meal costs less than £20", "expect to pay less than £20",
            "you will pay under £20",
        ),
        tails=("with prices below £20", "with meals for under £20", "where a meal costs less than £20"),
        polarity=1,
    ),
    "£20-25": Phrases(
        verbs=(
            "charges £20 to £25", "costs between £20 and £25", "has a price range of £20-25",
            "has prices of £20 to £25",
        ),
        clauses=(
            "prices are between £20 and £25", "a meal costs £20 to £25", "expect to pay £20-25",
            "the price range is £20-25",
        ),
        tails=(
            "with prices of £20 to £25", "with a price range of £20-25",
            "where a meal costs between £20 and £25",
        ),
    ),
    "more than £30": Phrases(
        verbs=("costs more than £30", "charges more than £30", "has prices above £30", "has prices over £30"),
        clauses=(
            "prices are above £30", "a meal costs more than £30", "expect to pay more than £30",
            "you will pay over £30",
        ),
        tails=("with prices above £30", "with meals at over £30", "where a meal costs over £30"),
        polarity=-1,
    ),
}  # fmt: skip

_RATINGS = {
    "low": Phrases(
        verbs=(
            "has a low customer rating", "is poorly rated by its customers",
            "gets low ratings from its guests",
            "has received low customer ratings", "is not well rated by customers",
        ),
        clauses=(
            "customers give {it} low ratings", "customer ratings are low", "its customer rating is low",
            "guests give {it} a low rating",
        ),
        adjectives=("poorly rated", "low-rated"),
        tails=("with a low customer rating", "with low customer ratings", "that customers rate poorly"),
        polarity=-1,
    ),
    "average": Phrases(
        verbs=(
            "has an average customer rating", "is rated average by its customers",
            "gets average ratings from its guests",
            "has received average customer ratings",
        ),
        clauses=(
            "customers rate {it} as average", "customer ratings are average",
            "its customer rating is average",
            "guests give {it} an average rating",
        ),
        tails=(
            "with an average customer rating", "with average customer ratings",
            "that customers rate as average",
        ),
    ),
    "high": Phrases(
        verbs=(
            "has a high customer rating", "is highly rated by its customers",
            "gets high ratings from its guests",
            "has received high customer ratings", "is well rated by customers",
        ),
        clauses=(
            "customers rate {it} highly", "customer ratings are high", "its customer rating is high",
            "guests give {it} a high rating",
        ),
        adjectives=("highly rated", "well-rated"),
        tails=("with a high customer rating", "with high customer ratings", "that customers rate highly"),
        polarity=1,
    ),
}  # fmt: skip


def _stars(value: str, word: str, polarity: int) -> Phrases:
    plural = "star" if word == "one" else "stars"
    return Phrases(
        verbs=(
            f"has a customer rating of {value}", f"is rated {value} by its customers",
            f"scores {value} with its customers",
            f"holds a customer rating of {value}", f"is rated {value}",
        ),
        clauses=(
            f"customers rate {{it}} {value}", f"its customer rating is {value}",
            f"the customer rating is {value}",
            f"guests give {{it}} {value}", f"customers give {{it}} {word} {plural} out of five",
        ),
        adjectives=(f"{word}-star",),
        tails=(
            f"with a customer rating of {value}", f"rated {value} by its customers",
            f"with a rating of {value}",
        ),
        polarity=polarity,
    )  # fmt: skip


_RATINGS |= {
    "1 out of 5": _stars("1 out of 5", "one", -1),
    "3 out of 5": _stars("3 out of 5", "three", 0),
    "5 out of 5": _stars("5 out of 5", "five", 1),
}

_FAMILIES = {
    "yes": Phrases(
        verbs=(
            "is family-friendly", "welcomes families", "is a good choice for families",
            "is suitable for children",
            "is child-friendly", "is happy to welcome children",
        ),
        clauses=(
            "families are welcome", "children are welcome", "you can bring the children",
            "the whole family is welcome",
        ),
        adjectives=("family-friendly", "child-friendly", "kid-friendly"),
        tails=("where families are welcome", "that welcomes families", "that is suitable for children"),
        polarity=1,
    ),
    "no": Phrases(
        verbs=(
            "is not family-friendly", "is not suitable for children", "does not cater for families",
            "is for adults only",
            "is not a place for children", "does not welcome children",
        ),
        clauses=(
            "{it} is not family-friendly", "children are not welcome", "{it} is not a place for families",
        ),
        adjectives=("adults-only",),
        tails=("that is not family-friendly", "that is not suitable for children", "for adults only"),
        polarity=-1,
    ),
}  # fmt: skip

AREAS = {
    "city centre": (
        "in the city centre",
        "in the centre of the city",
        "in the heart of the city",
        "in the centre of town",
    ),
    "riverside": (
        "by the river",
        "at the riverside",
        "beside the river",
        "in the riverside area",
        "on the riverside",
    ),
    "old town": ("in the old town", "within the old town", "in the heart of the old town"),
    "harbour": ("by the harbour", "at the harbour", "in the harbour area", "beside the harbour"),
    "market district": (
        "in the market district",
        "in the heart of the market district",
        "within the market district",
    ),
}
NEARBY = (
    "near {}",
    "close to {}",
    "not far from {}",
    "just round the corner from {}",
    "a short walk from {}",
    "next to {}",
)
LOCATED = ("is located {}", "is {}", "can be found {}", "is situated {}", "lies {}", "stands {}")
LOCATED_CLAUSES = ("you will find {it} {}", "{it} is {}", "you can find {it} {}", "{it} is located {}")


def _food(value: str) -> Phrases:
    if value == "Fast food":
        return Phrases(
            verbs=("serves fast food", "offers fast food", "sells fast food"),
            clauses=("the menu is fast food", "fast food is on the menu", "{it} serves fast food"),
            adjectives=("fast food",),
            tails=("serving fast food", "that serves fast food", "with a fast food menu"),
        )
    kind = value.lower() if value == "Vegetarian" else value
    return Phrases(
        verbs=(
            f"serves {kind} food", f"offers {kind} dishes", f"specialises in {kind} cooking",
            f"has {kind} food on the menu",
            f"serves {kind} dishes",
        ),
        clauses=(
            f"the food is {kind}", f"{kind} food is on the menu", f"the kitchen serves {kind} food",
            f"the dishes are {kind}",
        ),
        adjectives=(kind,),
        tails=(
            f"serving {kind} food", f"that serves {kind} food", f"offering {kind} dishes",
            f"with {kind} food",
        ),
    )  # fmt: skip


def phrases_for(key: str, venue: Attributes) -> Phrases:
    """What can be said about attribute `key` of `venue`; not for name, eatType, area and near."""
    value = venue[key]
    tables = {"priceRange": _PRICES, "customer rating": _RATINGS, "familyFriendly": _FAMILIES}
    return _food(value) if key == "food" else tables[key][value]
