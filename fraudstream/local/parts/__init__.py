"""The platform's parts: how each is prepared, started and asked whether it answers."""
