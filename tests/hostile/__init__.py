"""The hostile corpus: one attack a file of `tests/hostile_scripts/`, and who must survive it."""
