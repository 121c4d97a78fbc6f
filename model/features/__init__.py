"""Features: each block's specs beside the values that they describe. The stream and training run the same code."""
