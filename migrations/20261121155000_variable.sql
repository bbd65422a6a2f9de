-- Values that people set for all DAGs, as Airflow's variables: encrypted, with the key and the version
-- as associated data, like connections.
CREATE TABLE variable (
    key         text PRIMARY KEY,
    description text,
    version     integer NOT NULL DEFAULT 1,
    key_id      text NOT NULL,
    value       bytea NOT NULL,         -- nonce, then ciphertext with tag
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE variable IS 'Variables of templates, encrypted';
