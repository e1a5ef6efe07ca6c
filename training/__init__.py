"""Training: data, tokenizer, pretraining, fine-tuning."""
