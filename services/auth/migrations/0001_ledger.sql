-- The ledger: one row an execution, partitioned by day of its UUIDv7 id, kept seven days.
-- States and who may write them: shared/execution_states.py.

CREATE TABLE executions (
    execution_id  uuid        NOT NULL PRIMARY KEY,
    connection_id text        NOT NULL,
    revision      text        NOT NULL,
    action        text        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('claimed', 'decided', 'published', 'applied')),
    idempotent    boolean     NOT NULL,
    attempt       smallint    NOT NULL CHECK (attempt BETWEEN 0 AND 3),
    worker        uuid,
    lease_until   timestamptz,
    deadline      timestamptz NOT NULL,
    reply_to      text        NOT NULL,
    outcome       text,
    result        bytea,       -- the published message; its profile is sealed
    claimed_at    timestamptz,
    decided_at    timestamptz,
    published_at  timestamptz,
    applied_at    timestamptz,
    CHECK ((state = 'claimed') = (outcome IS NULL)),
    CHECK ((state = 'claimed') = (decided_at IS NULL))
) PARTITION BY RANGE (execution_id);

CREATE INDEX executions_unpublished ON executions (decided_at) WHERE published_at IS NULL AND decided_at IS NOT NULL;
CREATE INDEX executions_claimed ON executions (lease_until) WHERE state = 'claimed';

-- The first UUIDv7 of an instant: 48 bits of milliseconds, version 7, variant 10 (RFC 9562, 5.7).
CREATE FUNCTION uuid7_from(instant timestamptz) RETURNS uuid
LANGUAGE sql STABLE STRICT AS $$
    SELECT (lpad(to_hex((floor(extract(epoch FROM instant) * 1000))::bigint), 12, '0')
            || '70008000000000000000')::uuid
$$;

CREATE FUNCTION create_execution_partition(day date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    name text := 'executions_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- The fill factor leaves room for a row's three updates on its page.
    EXECUTE format(
        'CREATE TABLE %I PARTITION OF executions FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 60)',
        name,
        uuid7_from(day::timestamp AT TIME ZONE 'UTC'),
        uuid7_from((day + 1)::timestamp AT TIME ZONE 'UTC'));
    RETURN true;
END
$$;

-- Keeps seven past days and two to come. Dropping a partition loses undecided rows, so that only
-- days whose every deadline has long passed go.
CREATE FUNCTION maintain_execution_partitions() RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    changed integer := 0;
    old record;
BEGIN
    PERFORM pg_advisory_xact_lock(7401);
    FOR offset_days IN -1 .. 2 LOOP
        IF create_execution_partition(today + offset_days) THEN
            changed := changed + 1;
        END IF;
    END LOOP;
    FOR old IN
        SELECT child.relname FROM pg_inherits
        JOIN pg_class child ON child.oid = inhrelid
        WHERE inhparent = 'executions'::regclass
          AND to_date(right(child.relname, 8), 'YYYYMMDD') < today - 7
    LOOP
        EXECUTE format('DROP TABLE %I', old.relname);
        changed := changed + 1;
    END LOOP;
    RETURN changed;
END
$$;

SELECT maintain_execution_partitions();

GRANT SELECT, INSERT, UPDATE ON executions TO trickle_worker;
