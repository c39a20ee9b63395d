"""Where files lie: a folder on this machine, or a prefix in an object store."""
