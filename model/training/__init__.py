"""Training: a history is collected, its features computed, split by time, fitted, calibrated, measured and compared.

Commands: `collect`, `train`, `challenge` (a challenger for the champion), `pretrain` (the model that ships) and
`leakage` (of the simulator's raw columns).
"""
