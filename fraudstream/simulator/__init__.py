"""The simulated shop: customers, products, sessions and fraud; a live producer and a writer of history."""
