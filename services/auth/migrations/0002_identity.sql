-- Connections and their immutable revisions, clients, signing keys, access tokens.

CREATE TABLE connections (
    connection_id      text PRIMARY KEY,
    name               text NOT NULL UNIQUE,
    display_name       text,
    options            jsonb NOT NULL,      -- as the Management API shows them, but for scripts and configuration
    is_domain_connection boolean NOT NULL DEFAULT false,
    realms             text[] NOT NULL,
    metadata           jsonb NOT NULL DEFAULT '{}',
    current_revision   text NOT NULL,
    script_budget_ms   integer NOT NULL CHECK (script_budget_ms BETWEEN 1 AND 20000),
    worker_concurrency integer NOT NULL CHECK (worker_concurrency BETWEEN 1 AND 256),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);

-- Immutable: the revision is a keyed hash of the content. Configuration is sealed value by value.
CREATE TABLE connection_revisions (
    connection_id text    NOT NULL REFERENCES connections ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    revision      text    NOT NULL,
    scripts       jsonb   NOT NULL,
    configuration jsonb   NOT NULL,
    with_context  boolean NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, revision)
);

CREATE TABLE clients (
    client_id    text PRIMARY KEY,
    name         text NOT NULL,
    app_type     text NOT NULL,
    secret_hash  bytea,                      -- SHA-256 of 384 random bits; none: a public client
    auth_method  text NOT NULL,
    grant_types  text[] NOT NULL,
    api_scopes   text[] NOT NULL DEFAULT '{}',  -- what it may ask of the Management API
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE connection_clients (
    connection_id text NOT NULL REFERENCES connections ON DELETE CASCADE,
    client_id     text NOT NULL REFERENCES clients ON DELETE CASCADE,
    PRIMARY KEY (connection_id, client_id)
);

CREATE TABLE signing_keys (
    kid         text PRIMARY KEY,
    sealed_key  jsonb NOT NULL,              -- the private JWK, sealed at rest
    public_key  jsonb NOT NULL,
    current     boolean NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX signing_keys_current ON signing_keys (current) WHERE current;

CREATE TABLE access_tokens (
    token_hash bytea PRIMARY KEY,            -- SHA-256; the token itself is nowhere
    user_id    text NOT NULL,
    client_id  text NOT NULL,
    scope      text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX access_tokens_expiry ON access_tokens (expires_at);

CREATE TABLE tenant (
    only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    default_directory text
);
INSERT INTO tenant DEFAULT VALUES;

GRANT SELECT ON connections, connection_revisions TO trickle_worker;
