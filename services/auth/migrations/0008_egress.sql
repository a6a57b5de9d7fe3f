-- What a connection's scripts may connect to, as `host:port`; NULL: whatever the worker allows.

ALTER TABLE connection_revisions ADD COLUMN egress jsonb;
