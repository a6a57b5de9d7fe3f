-- What the flows around the scripts need: mails, tickets, sessions, refresh tokens, jobs, the log's columns.

ALTER TABLE connection_revisions ADD COLUMN magic_globals boolean NOT NULL DEFAULT false; -- C§4.4

ALTER TABLE users ADD COLUMN last_password_reset timestamptz;
ALTER TABLE users ADD COLUMN migrated_at timestamptz;           -- when an import moved them; none: born here
CREATE INDEX users_page ON users (created_at, user_id);
CREATE INDEX users_exact_email ON users (email);

-- The tokens that a profile carried (C§2.2): sealed, shown only with read:user_idp_tokens.
ALTER TABLE identities ADD COLUMN sealed_tokens jsonb;

CREATE TABLE password_history (
    user_id       text NOT NULL REFERENCES users ON DELETE CASCADE,
    password_hash text NOT NULL,
    replaced_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, replaced_at)
);

-- A link in a mail, or one that the Management API handed out. The ticket itself is nowhere.
CREATE TABLE tickets (
    ticket_hash   bytea PRIMARY KEY,
    purpose       text NOT NULL CHECK (purpose IN ('password_change', 'email_verification')),
    connection_id text NOT NULL REFERENCES connections ON DELETE CASCADE,
    user_id       text,                      -- none: a user who is not migrated yet
    email         text NOT NULL,
    sealed_profile jsonb,                    -- what get_user returned of that user, sealed
    settings      jsonb NOT NULL DEFAULT '{}', -- result_url, client_id, …
    expires_at    timestamptz NOT NULL,
    used_at       timestamptz
);
CREATE INDEX tickets_expiry ON tickets (expires_at);

-- The mail outbox: sent by any replica, kept when no server is set.
CREATE TABLE mails (
    mail_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient   text NOT NULL,
    template    text NOT NULL,
    sealed_body jsonb NOT NULL,              -- it holds a link that is as good as a password
    created_at  timestamptz NOT NULL DEFAULT now(),
    next_try_at timestamptz NOT NULL DEFAULT now(),
    attempts    integer NOT NULL DEFAULT 0,
    sent_at     timestamptz,
    failed_at   timestamptz,
    last_error  text
);
CREATE INDEX mails_due ON mails (next_try_at) WHERE sent_at IS NULL AND failed_at IS NULL;

-- Rotation: a family is one login; using a token again that was already rotated ends the family.
CREATE TABLE refresh_tokens (
    token_hash   bytea PRIMARY KEY,
    family_id    uuid NOT NULL,
    client_id    text NOT NULL REFERENCES clients ON DELETE CASCADE,
    user_id      text NOT NULL REFERENCES users ON DELETE CASCADE,
    scope        text NOT NULL,
    audience     text,
    issued_at    timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    rotated_at   timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE authorization_codes (
    code_hash    bytea PRIMARY KEY,
    client_id    text NOT NULL REFERENCES clients ON DELETE CASCADE,
    user_id      text NOT NULL REFERENCES users ON DELETE CASCADE,
    redirect_uri text NOT NULL,
    scope        text NOT NULL,
    audience     text,
    nonce        text,
    code_challenge        text,
    code_challenge_method text,
    family_id    uuid NOT NULL,              -- of the refresh tokens it gives: a code used twice ends them
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz
);
CREATE INDEX authorization_codes_expiry ON authorization_codes (expires_at);

-- Who is logged in at the hosted pages.
CREATE TABLE sessions (
    session_hash bytea PRIMARY KEY,
    user_id      text NOT NULL REFERENCES users ON DELETE CASCADE,
    started_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);
CREATE INDEX sessions_expiry ON sessions (expires_at);
CREATE INDEX sessions_user ON sessions (user_id);

-- Cross-origin authentication: who proved a password, until /authorize redeems it.
CREATE TABLE login_tickets (
    ticket_hash bytea PRIMARY KEY,
    user_id     text NOT NULL REFERENCES users ON DELETE CASCADE,
    client_id   text NOT NULL REFERENCES clients ON DELETE CASCADE,
    verifier_hash bytea NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX login_tickets_expiry ON login_tickets (expires_at);

CREATE TABLE jobs (
    job_id        text PRIMARY KEY,
    type          text NOT NULL CHECK (type IN ('verification_email', 'users_import')),
    status        text NOT NULL CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    connection_id text,
    external_id   text,
    upsert        boolean NOT NULL DEFAULT false,
    sealed_users  jsonb,                     -- until it is done
    summary       jsonb,
    errors        jsonb NOT NULL DEFAULT '[]',
    created_at    timestamptz NOT NULL DEFAULT now(),
    claimed_until timestamptz
);
CREATE INDEX jobs_waiting ON jobs (created_at) WHERE status IN ('pending', 'processing');

-- An application's other settings, as the Management API shows them.
ALTER TABLE clients ADD COLUMN settings jsonb NOT NULL DEFAULT '{}';
ALTER TABLE tenant ADD COLUMN settings jsonb NOT NULL DEFAULT '{}';

-- APIs that tokens may be issued for.
CREATE TABLE resource_servers (
    resource_server_id text PRIMARY KEY,
    identifier         text NOT NULL UNIQUE, -- the audience
    name               text NOT NULL,
    scopes             jsonb NOT NULL DEFAULT '[]',
    created_at         timestamptz NOT NULL DEFAULT now()
);

-- The claims of a user who is never stored (set_user_root_attributes: never_on_login).
ALTER TABLE access_tokens ADD COLUMN claims jsonb;

-- next signs from the coming rotation on; previous only verifies; revoked does nothing.
ALTER TABLE signing_keys ADD COLUMN state text NOT NULL DEFAULT 'previous'
    CHECK (state IN ('next', 'current', 'previous', 'revoked'));
ALTER TABLE signing_keys ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE signing_keys ADD COLUMN certificate text;
UPDATE signing_keys SET state = 'current' WHERE current;
DROP INDEX signing_keys_current;
ALTER TABLE signing_keys DROP COLUMN current;
CREATE UNIQUE INDEX signing_keys_one ON signing_keys (state) WHERE state IN ('next', 'current');

ALTER TABLE logs ADD COLUMN user_name text;
ALTER TABLE logs ADD COLUMN user_agent text;
ALTER TABLE logs ADD COLUMN scope text;
ALTER TABLE logs ADD COLUMN audience text;
CREATE INDEX logs_user ON logs (user_id, log_id) WHERE user_id IS NOT NULL;
CREATE INDEX logs_type ON logs (type, log_id);
