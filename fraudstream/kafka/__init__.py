"""Kafka as a client meets it: access and rights, offsets, topics, and what its errors mean."""
