"""Stand-ins for legacy stores that can't be started here: what is real is their protocol."""
