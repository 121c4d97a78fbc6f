"""Everything back: the platform's tables as Parquet files, a file a dataset and day, with a manifest."""
