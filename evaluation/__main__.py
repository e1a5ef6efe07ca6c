"""`python -m evaluation score|generate|perplexity|samples|prompt-search`."""

from common.cli import run
from evaluation.commands import app

if __name__ == "__main__":
    run(app)
