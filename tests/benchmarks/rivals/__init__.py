"""What the benchmarks compare with: floors, and what one would write without Trickle."""
