"""The deployables: one package each."""
