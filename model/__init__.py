"""The fraud model: features, training, evaluation, scoring with reasons, and the registry."""
