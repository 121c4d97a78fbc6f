"""The fraud model: features, training, serving with reasons and the registry, and evaluation of others' histories."""
