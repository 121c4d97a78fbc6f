"""Errors of training."""

from fraudstream.errors import FraudstreamError


class TrainingError(FraudstreamError):
    """A model can't be trained with this history or these options; the message says why."""


class HistoryError(FraudstreamError):
    """A history directory lacks a file or a column; the message names it."""
