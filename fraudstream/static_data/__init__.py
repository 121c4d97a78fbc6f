"""Static data that the stream joins: customers, products and entity risk."""
