-- Other teams on the queue: each with its connections and sealing keys; and the events' outbox.

CREATE TABLE integrators (
    name       text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]{0,39}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE integrator_connections (
    name          text NOT NULL REFERENCES integrators ON DELETE CASCADE,
    connection_id text NOT NULL REFERENCES connections ON DELETE CASCADE,
    PRIMARY KEY (name, connection_id)
);
CREATE INDEX integrator_connections_connection ON integrator_connections (connection_id);

-- A key is deleted when it is revoked: nobody needs what it sealed any more. Its number is not
-- given again, so that a key id means one key for ever.
CREATE TABLE integrator_keys (
    key_id     text PRIMARY KEY,
    name       text NOT NULL REFERENCES integrators ON DELETE CASCADE,
    sealed_key jsonb NOT NULL,               -- 32 bytes, sealed at rest
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE SEQUENCE integrator_key_numbers;

-- Written with the fact, deleted when the broker has confirmed it.
CREATE TABLE events (
    number        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id      uuid NOT NULL DEFAULT gen_random_uuid(),
    type          text NOT NULL,
    connection_id text NOT NULL,
    data          jsonb NOT NULL,
    occurred_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The worker opens an integrator's arguments, and tells what it decided; it reads no event.
GRANT SELECT ON integrator_connections, integrator_keys TO trickle_worker;
GRANT INSERT ON events TO trickle_worker;
