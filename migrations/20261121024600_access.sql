-- Who may do what, and secrets. Passwords are argon2id; sessions and tokens are random, kept as
-- SHA-256; connections are AES-256-GCM under a key that is not in the database.

CREATE TABLE app_user (
    user_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    username      text NOT NULL UNIQUE,
    password_hash text,                 -- null: signs in by link only
    role          text NOT NULL CHECK (role IN ('viewer', 'user', 'op', 'admin')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    disabled_at   timestamptz
);

-- Browser sessions.
CREATE TABLE web_session (
    hash       bytea PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES app_user ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

-- API tokens, as POST /auth/token gives them.
CREATE TABLE api_token (
    hash         bytea PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES app_user ON DELETE CASCADE,
    name         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz
);

-- One-time sign-in links.
CREATE TABLE sign_in_link (
    hash       bytea PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES app_user ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

-- What lets a worker join.
CREATE TABLE join_token (
    hash       bytea PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

-- Outside systems. The value is the whole connection as JSON, encrypted with the connection's id and
-- version as associated data: a row can't be passed off as another.
CREATE TABLE connection (
    conn_id     text PRIMARY KEY,
    conn_type   text NOT NULL,
    description text,
    version     integer NOT NULL DEFAULT 1,
    key_id      text NOT NULL,
    value       bytea NOT NULL,         -- nonce, then ciphertext with tag
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
