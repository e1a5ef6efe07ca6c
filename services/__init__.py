"""The servers: the gateway in front and the model servers behind it."""
