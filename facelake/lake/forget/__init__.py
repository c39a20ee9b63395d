"""Taking faces out for good: tombstones, rewriting, looking for traces, retention."""
