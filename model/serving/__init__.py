"""Serving: the model file, its scores and reasons, and the registry of versions."""
