"""Prompt tuning against prompt engineering: learnt prompts held to the task file and the budget of a search.

Prompt tuning (Lester et al. 2021, arXiv 2104.08691), prefix tuning (Li and Liang 2021, 2101.00190) and
P-tuning (Liu et al. 2021, 2103.10385) by `training/adapters`; the search by `evaluation/prompting`, where the
task file is defined.
"""
