"""The curriculum as one suite: every technique on the same task and data, and the page that compares them.

`python -m training all` runs what `training/configs/train-all.yaml` lists; `python -m training compare` reads
the outcomes (`training/outcome.py`) and nothing else.
"""
