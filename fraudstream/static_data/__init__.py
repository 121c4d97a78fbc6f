"""Static data that the stream joins: customers, products, exchange rates and entity risk."""
