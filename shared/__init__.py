"""Contracts and the doors to infrastructure that both services use today."""
