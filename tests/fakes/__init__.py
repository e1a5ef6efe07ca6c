"""Stand-ins for what a test cannot bring along: an OpenAI server without a model."""
