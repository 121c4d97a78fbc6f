"""Profile snapshots: the profiles of all customers at one moment, as files that any start of the stream can begin with.

`manifest` says what one is, `folders` finds, verifies and deletes them, `writing` makes them.
"""
