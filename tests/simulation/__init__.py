"""Both services on virtual time, over a broker and a database that misbehave: `./dev simulate`."""
