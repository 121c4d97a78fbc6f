"""Serving: the model's folder (`artifact`), scores, their reasons, and the registry of versions with its command."""
