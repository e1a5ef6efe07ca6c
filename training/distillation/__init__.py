"""Knowledge distillation: a small student learns from a larger teacher.

From its probabilities (Hinton, Vinyals and Dean 2015, arXiv 1503.02531) or from its answers (Kim and Rush
2016, 1606.07947); and the control that every such claim needs, the same student without a teacher.
"""
