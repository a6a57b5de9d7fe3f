"""Tests, by what is real in them: unit, harness, integration, acceptance."""
