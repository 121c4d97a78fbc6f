"""The books: what was read and what became of it, compared with Kafka and begun anew."""
