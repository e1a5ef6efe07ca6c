"""Which road for which need, and by what figure: made from the measurements and the price file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.pages.figures import Criterion, Ranking, rank
from common.pages.words import listing
from tradeoffs.report.figures import ROAD_NAMES, lane_name
from tradeoffs.report.model import Lane, ReportInput

BOUNDARIES = {
    "edge": (0, "the prompt stays on the device"),
    "onprem": (1, "the prompt crosses your own network"),
    "cloud": (2, "the prompt crosses the Internet and is processed by a provider"),
}
"""Road → networks that a prompt crosses, and that in words. By design, not measured."""


@dataclass(frozen=True, slots=True)
class Advice:
    """The answer for one need."""

    need: str
    question: str
    winners: tuple[str, ...]
    """Lane or road names; several are a tie; none: not measured."""
    figure: str
    """The figure that decides."""
    against: str
    """The same figure of the others."""
    basis: str
    """`measured`, `prices`, or `by design`."""
    note: str = ""
    short: str = ""
    """The deciding figure in a few words, for a sentence."""
    of: int = 0
    """How many lanes or roads were compared."""
    colour_of: str = ""
    """The winning lane's key, or that of the winning road's first lane; empty for a tie."""

    decided: bool = True
    """False: a road has no valid figure, so that nobody can be called best."""

    @property
    def basis_words(self) -> str:
        """Where the answer comes from, for a reader."""
        return {"prices": "price file and measurement", "by design": "by design, not measured"}.get(
            self.basis, self.basis
        )

    @property
    def verdict(self) -> str:
        """The winners in words."""
        if not self.winners:
            return "not measured"
        if not self.decided:
            return f"not decided; {' = '.join(self.winners)} of those with a valid figure"
        if 2 < len(self.winners) == self.of:
            return f"no difference between {self.of} lanes"
        return " = ".join(self.winners)


class Advisor:
    """Answers for each need."""

    def __init__(self, report: ReportInput, criteria: dict[str, Criterion]) -> None:
        self.report = report
        self.criteria = criteria
        self.lanes = {lane.key: lane for lane in report.lanes}

    def advice(self) -> list[Advice]:
        """One answer per need, in the order in which the page shows them."""
        return [
            self._latency("Latency, first token", "Who answers first?", "ttft_intended"),
            self._latency("Latency, whole answer", "Who is done first?", "e2e_intended"),
            self._privacy(),
            self._measured("Cost", "Who is cheapest per token?", "cost", "prices"),
            self._scale(),
            self._connectivity(),
            self._upkeep(),
            self._measured("Quality", "Whose texts are best?", f"quality_{self.report.primary_metric}"),
            self._measured("Footprint", "Who fits in the smallest machine?", "memory"),
        ]

    def summary(self, advice: Sequence[Advice]) -> list[tuple[str, str]]:
        """Sentences, each as its stressed beginning and its rest: a road and what it is best at; then what no
        single road is best at; then what was simulated."""
        wins: dict[str, list[str]] = {}
        ties: list[str] = []
        open_needs: list[str] = []
        for answer in advice:
            need = answer.need.lower().replace(",", " of the")
            if not answer.decided:
                open_needs.append(need)
                continue
            roads = {winner.split(" ")[0] for winner in answer.winners}
            if len(roads) == 1:
                wins.setdefault(roads.pop(), []).append(need + (f" ({answer.short})" if answer.short else ""))
            elif roads:
                ties.append(f"{need} ({' = '.join(sorted(roads))})")
        sentences = [(f"Take {road}", f"for {listing(needs)}.") for road, needs in wins.items()]
        if ties:
            sentences.append(
                ("No single road", f"is best at {listing(ties)}: the figures cannot be told apart.")
            )
        if open_needs:
            sentences.append(("Not decided:", f"{listing(open_needs)}: not every road has a valid figure."))
        simulated = sorted({_road(lane.road) for lane in self.report.lanes if "network" in lane.simulated})
        if simulated:
            sentences.append(("Simulated:", f"the network between {listing(simulated)} and its users."))
        return sentences

    def _latency(self, need: str, question: str, name: str) -> Advice:
        """By p95; by the median where a p95 has no bounded interval (a small sample)."""
        tail = self.criteria[f"{name}_p95"]
        bounded = all(None not in figure.ci95 for figure in tail.figures.values())
        chosen = tail if bounded else self.criteria[f"{name}_p50"]
        note = (
            ""
            if bounded or not tail.figures
            else "The sample is too small to compare p95; this is the median."
        )
        return self._answer(need, question, rank(chosen), "measured", note)

    def _measured(self, need: str, question: str, key: str, basis: str = "measured") -> Advice:
        criterion = self.criteria.get(key)
        return self._answer(need, question, rank(criterion) if criterion else None, basis)

    def _scale(self) -> Advice:
        ranking = rank(self.criteria["capacity"])
        note = "One server on the machine measured. A server road grows by replicas, the edge by devices."
        return self._answer("Scale", "Who serves most users at once?", ranking, "measured", note)

    def _privacy(self) -> Advice:
        roads = [
            road for road in dict.fromkeys(lane.road for lane in self.report.lanes) if road in BOUNDARIES
        ]
        if not roads:
            return Advice("Privacy", "Where does the prompt go?", (), "", "", "by design")
        best = min(roads, key=lambda road: BOUNDARIES[road][0])
        others = "; ".join(f"{_road(road)}: {BOUNDARIES[road][1]}" for road in roads if road != best)
        return Advice(
            "Privacy", "Where does the prompt go?", (_road(best),),
            f"{BOUNDARIES[best][1]}; networks crossed: {BOUNDARIES[best][0]}", others, "by design",
            colour_of=self._first_lane(best),
        )  # fmt: skip

    def _connectivity(self) -> Advice:
        """The edge answers without a network; what a network costs is the difference to the same format."""
        question = "Who works when the line is bad or gone?"
        roads = [
            road for road in dict.fromkeys(lane.road for lane in self.report.lanes) if road in BOUNDARIES
        ]
        if not roads:
            return Advice("Connectivity", question, (), "", "", "by design")
        best = min(roads, key=lambda road: BOUNDARIES[road][0])
        needs = "needs no network" if best == "edge" else "needs your own network only"
        costs = [text for lane in self.report.lanes if (text := self._network_cost(lane))]
        others = [f"{_road(road)} stops without its network" for road in roads if road != best]
        return Advice(
            "Connectivity", question, (_road(best),), needs, "; ".join(others + costs), "by design",
            colour_of=self._first_lane(best),
        )  # fmt: skip

    def _first_lane(self, road: str) -> str:
        return next(lane.key for lane in self.report.lanes if lane.road == road)

    def _network_cost(self, lane: Lane) -> str:
        """How much the network adds to the median TTFT of a lane, against the same format on-prem."""
        twin = self.lanes.get(f"onprem/{lane.format}")
        medians = self.criteria["ttft_intended_p50"].figures
        if lane.road != "cloud" or twin is None or lane.key not in medians or twin.key not in medians:
            return ""
        added = (medians[lane.key].value - medians[twin.key].value) * 1000
        kind = "simulated network" if "network" in lane.simulated else "network"
        return f"the {kind} to the cloud adds {added:.0f} ms to the median first token of {lane.format}"

    def _upkeep(self) -> Advice:
        """Hours by the price file; the measured cold start says how long a restart is felt."""
        criterion = self.criteria["upkeep"]
        starts = self.criteria["cold_start"]
        text = "; ".join(f"{lane_name(self.lanes[key])} {starts.text(key)}" for key in starts.figures)
        note = f"Measured cold starts: {text}." if text else ""
        return self._answer("Upkeep", "Who needs least care?", rank(criterion), "prices", note)

    def _answer(
        self, need: str, question: str, ranking: Ranking | None, basis: str, note: str = ""
    ) -> Advice:
        if ranking is None:
            return Advice(need, question, (), "", "", basis, note, decided=False)
        criterion = ranking.criterion
        by_road = criterion.key == "upkeep"
        name = self._road_name if by_road else self._lane_name
        winners = tuple(dict.fromkeys(name(key) for key in ranking.best))
        detail = criterion.detail(ranking.order[0])
        figure = f"{criterion.label} {criterion.text(ranking.order[0])}" + (f", {detail}" if detail else "")
        others = dict.fromkeys(
            f"{name(key)} {criterion.text(key)}"
            for key in ranking.order
            if name(key) != name(ranking.order[0])
        )
        roads = {self.lanes[key].road for key in ranking.best}
        rest = next((key for key in ranking.order if self.lanes[key].road not in roads), None)
        short = criterion.text(ranking.order[0]) + (f" against {criterion.text(rest)}" if rest else "")
        of = len({name(key) for key in ranking.order})
        absent = [lane_name(lane) for lane in self.report.lanes if lane.key not in criterion.figures]
        if absent:
            note = f"{note} Not compared, for want of a valid figure: {listing(absent)}.".strip()
        decided = {lane.road for lane in self.report.lanes} == {self.lanes[key].road for key in ranking.order}
        colour = ranking.order[0] if len(winners) == 1 and decided else ""
        return Advice(
            need, question, winners, figure, "; ".join(others), basis, note, short, of, colour, decided
        )  # fmt: skip

    def _lane_name(self, key: str) -> str:
        lane = self.lanes[key]
        return lane_name(lane) + (" (simulated network)" if "network" in lane.simulated else "")

    def _road_name(self, key: str) -> str:
        return _road(self.lanes[key].road)


def _road(road: str) -> str:
    return ROAD_NAMES.get(road, road)
