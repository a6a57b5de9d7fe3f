-- Budgets ahead of the legacy store: leaky buckets that all replicas share and that survive restarts.
-- Identifiers and addresses are keyed hashes; the address beside a block is what unblocking shows.

CREATE TABLE limits (
    key           bytea PRIMARY KEY,
    budget        text NOT NULL,
    connection_id text,
    subject       bytea,                     -- the identifier that it is about
    ip            text,
    capacity      double precision NOT NULL,
    leak          double precision NOT NULL, -- a second
    quiet         double precision NOT NULL, -- seconds without a charge after which all is forgotten
    level         double precision NOT NULL, -- as it was at `since`
    since         timestamptz NOT NULL,
    granted       integer NOT NULL           -- of what the last statement asked for
) WITH (fillfactor = 70);
CREATE INDEX limits_subject ON limits (subject) WHERE subject IS NOT NULL;

CREATE FUNCTION limits_level(
    level double precision, since timestamptz, leak double precision, quiet double precision
) RETURNS double precision STABLE LANGUAGE sql AS $$
    SELECT CASE WHEN extract(epoch FROM now() - since) >= quiet THEN 0
                ELSE greatest(0, level - leak * greatest(0, extract(epoch FROM now() - since))) END
$$;
