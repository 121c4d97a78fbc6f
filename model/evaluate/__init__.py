"""Evaluation on anyone's labelled history: columns, features that they allow, the prequential protocol, metrics."""
