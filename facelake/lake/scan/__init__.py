"""The exact scan: five-bit twins, their products, and the few embeddings that are fetched."""
