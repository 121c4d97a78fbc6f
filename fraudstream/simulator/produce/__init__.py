"""The command `produce`: its options, and a module for each of its three modes (live, history, replay)."""
