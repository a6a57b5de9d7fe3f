"""`trickle lint`: what an action script will do here, without running it."""
