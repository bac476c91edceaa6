-- breaking: no
-- API keys. Of a key only a hash is kept; its id finds it.

CREATE TABLE hostler.api_keys (
    id           text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{12}$'),
    name         text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 255),
    hash         bytea       NOT NULL CHECK (octet_length(hash) = 32),
    scopes       text[]      NOT NULL CHECK (
        scopes <> '{}' AND scopes <@ ARRAY['read', 'submit', 'control', 'admin']),
    fleets       text[]      NOT NULL DEFAULT '{}',
    queues       text[]      NOT NULL DEFAULT '{}',
    rate_count   integer     CHECK (rate_count > 0),
    rate_per_ms  bigint      CHECK (rate_per_ms > 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text        NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    CONSTRAINT api_keys_rate CHECK ((rate_count IS NULL) = (rate_per_ms IS NULL))
);

COMMENT ON TABLE hostler.api_keys IS
    'Who may call the API over TCP: a hash of each key, what it allows, and until when. A change is heard by all hosts.';

-- Every host keeps what is here in memory. What only says when a key was used is nothing to hear of.
CREATE FUNCTION hostler.api_keys_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('hostler_keys', '');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hostler.api_keys_changed() IS
    'Trigger of api_keys: tells all hosts to read them again.';
CREATE TRIGGER api_keys_changed
AFTER INSERT OR DELETE OR TRUNCATE OR UPDATE OF
    id, hash, scopes, fleets, queues, rate_count, rate_per_ms, expires_at, revoked_at
ON hostler.api_keys FOR EACH STATEMENT EXECUTE FUNCTION hostler.api_keys_changed();
