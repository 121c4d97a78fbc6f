"""The policy over this model's features: `./fraudctl rules`, `lists` and `policy`."""
