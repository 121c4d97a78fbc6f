"""Features: a module a block, with its specs beside the function that computes their values.

`observe` calls the blocks for one event, in the stream as in training; `catalogue` names all columns in their order.
"""
