"""Whether a catalog is as it was written, and mending what is not."""
