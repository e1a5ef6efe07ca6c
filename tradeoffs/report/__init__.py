"""The trade-off report: one page, its plots, Markdown and JSON, from the measurements of the main job.

from tradeoffs.report import ReportInput, write_report
write_report(ReportInput.read(Path("runs/demo/results.json")), Path("reports/tradeoffs"))
"""

from tradeoffs.report.model import ReportInput

__all__ = ["ReportInput"]
