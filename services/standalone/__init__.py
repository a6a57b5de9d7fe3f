"""Both services on one machine, on embedded defaults: what `./dev demo` and `./dev up` start."""
