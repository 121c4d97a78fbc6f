"""Messages: what may arrive, and why it is refused."""
