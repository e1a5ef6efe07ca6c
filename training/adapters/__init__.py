"""Parameter-efficient fine-tuning: a frozen transformers model learns through a small PEFT adapter.

LoRA (Hu et al. 2021, arXiv 2106.09685), DoRA (Liu et al. 2024, 2402.09353), IA3 (Liu et al. 2022,
2205.05638), prefix tuning (Li and Liang 2021, 2101.00190), prompt tuning (Lester et al. 2021, 2104.08691) and
P-tuning (Liu et al. 2021, 2103.10385). The methods are PEFT's; data, loop, optimizer, checkpoints and records
are those of every other job.
"""
