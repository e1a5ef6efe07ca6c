"""The pipeline report: what came in, what fell where and why, and what the result is like."""
