"""PySpark jobs. Pure transforms in the middle; IO only in source, sink, publisher and `main()`."""
