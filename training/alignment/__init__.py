"""Learning from preferences and rewards: pairs, reward model, DPO and relatives, PPO, RLOO, GRPO, judging."""
