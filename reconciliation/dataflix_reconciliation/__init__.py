"""The proof that the warehouse equals the source, and the repair where it does not."""
