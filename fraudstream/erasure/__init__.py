"""A customer's right to be forgotten: what is erased, certificates, and what keeps the erased out (docs/erasure.md)."""
