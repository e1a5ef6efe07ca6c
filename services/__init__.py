"""The services of Trivium: the gateway in front and the model server behind it."""
