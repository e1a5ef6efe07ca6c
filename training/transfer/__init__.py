"""Transfer study: what pretraining is worth, by how many examples there are to fine-tune on."""
