"""Prompt search: the words around an input, found by trying, within a budget that training can be held to.

The task file (`task.py`) is the contract with the soft-prompt job of the training room: same rows, same
budget.

Automatic prompt engineering as search: Zhou et al. 2022 (APE), arXiv 2211.01910; Yang et al. 2023 (OPRO),
2309.03409. Both let a large model write the candidates; here they come from the task file, so that a model
of any size can be searched for, and the search is the evolution of Guo et al. 2023 (EvoPrompt), 2309.08532,
with successive halving (Jamieson and Talwalkar 2015, 1502.07943; Li et al. 2016, Hyperband, 1603.06560) as
selection.
Which demonstrations: Brown et al. 2020, 2005.14165; nearest ones: Liu et al. 2021, 2101.06804; their order:
Lu et al. 2021, 2104.08786; format and wording: Sclar et al. 2023, 2310.11324.
"""
