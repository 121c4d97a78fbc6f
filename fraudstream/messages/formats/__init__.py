"""Formats of messages: JSON, Avro, Protobuf and JSON Schema behind a schema registry, and Debezium's envelope."""
