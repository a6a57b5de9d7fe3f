-- Users with their identities and credentials, tombstones, the tenant log. The worker sees none.

CREATE TABLE users (
    user_id        text PRIMARY KEY,
    connection_id  text NOT NULL,
    legacy_id      text NOT NULL,            -- what the script returned, without any prefix
    email          text,
    canonical_email text,                    -- NFKC, case-folded, trimmed
    username       text,
    canonical_username text,
    email_verified boolean NOT NULL DEFAULT false,
    profile        jsonb NOT NULL DEFAULT '{}',
    user_metadata  jsonb NOT NULL DEFAULT '{}',
    app_metadata   jsonb NOT NULL DEFAULT '{}',
    mfa_factors    jsonb,
    blocked        boolean NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    last_login     timestamptz,
    last_ip        text,
    logins_count   integer NOT NULL DEFAULT 0,
    UNIQUE (connection_id, legacy_id)
);
CREATE UNIQUE INDEX users_email ON users (connection_id, canonical_email) WHERE canonical_email IS NOT NULL;
CREATE UNIQUE INDEX users_username ON users (connection_id, canonical_username) WHERE canonical_username IS NOT NULL;

CREATE TABLE identities (
    connection_id text NOT NULL,
    legacy_id     text NOT NULL,
    user_id       text NOT NULL REFERENCES users ON DELETE CASCADE,
    provider      text NOT NULL DEFAULT 'auth0',
    PRIMARY KEY (connection_id, legacy_id)
);

CREATE TABLE credentials (
    user_id       text PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    password_hash text NOT NULL,
    changed_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tombstones (
    connection_id text NOT NULL,
    legacy_id     text NOT NULL,
    deleted_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, legacy_id)
);

CREATE TABLE logs (
    log_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    date          timestamptz NOT NULL DEFAULT now(),
    type          text NOT NULL,             -- C§9.1
    connection_id text,
    client_id     text,
    user_id       text,
    ip            text,
    execution_id  uuid,
    description   text,
    details       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX logs_date ON logs (date);
