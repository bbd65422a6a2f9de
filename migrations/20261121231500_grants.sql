-- What a user may do with single DAGs, or with those of a tag, beside what the role of the user allows
-- everywhere; and what a token may do of what its user may.

ALTER TABLE app_user DROP CONSTRAINT app_user_role_check;
ALTER TABLE app_user ADD CONSTRAINT app_user_role_check
    CHECK (role IN ('none', 'viewer', 'user', 'op', 'admin'));
-- Of somebody whom an identity provider names: its issuer and the subject there.
ALTER TABLE app_user ADD COLUMN oidc_issuer text, ADD COLUMN oidc_subject text;
CREATE UNIQUE INDEX app_user_oidc ON app_user (oidc_issuer, oidc_subject)
    WHERE oidc_subject IS NOT NULL;

CREATE TABLE dag_grant (
    user_id uuid NOT NULL REFERENCES app_user ON DELETE CASCADE,
    role    text NOT NULL CHECK (role IN ('viewer', 'user', 'op')),
    -- one of them
    dag_id  text,
    tag     text,
    CHECK (num_nonnulls(dag_id, tag) = 1),
    UNIQUE NULLS NOT DISTINCT (user_id, dag_id, tag)
);

ALTER TABLE api_token
    ADD COLUMN token_id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    -- the most that the token may do; null: all that its user may
    ADD COLUMN scope text CHECK (scope IN ('viewer', 'user', 'op', 'admin'));
CREATE INDEX api_token_user ON api_token (user_id);
