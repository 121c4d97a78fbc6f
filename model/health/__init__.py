"""The served model over time: drift, calibration, precision and recall by the age of labels."""
