-- Three roles with no more rights than they need. `hostler db roles` prints this file, and
-- `hostler db roles --apply` runs it, in one transaction; run it again after an upgrade. Whoever
-- runs it must own the schema and be allowed to make roles (CREATEROLE), or be a superuser.
--
--   hostler_submit   submits tasks and asks for their results; sees no table
--   hostler_work     claims tasks for agents that are not ours, and ends them; sees no table
--   hostler_admin    sees and changes everything in the schema; hosts may run under it once
--                    somebody else has brought the schema up to date
--
-- None of them can log in. Make a login and grant it a role:
--
--   CREATE ROLE shop LOGIN PASSWORD '...' IN ROLE hostler_submit;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['hostler_submit', 'hostler_work', 'hostler_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- somebody made it just now
            END;
        END IF;
    END LOOP;
END
$$;

-- What everybody may do by default, nobody may do here: a function can be called by PUBLIC
-- unless that is taken away.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA hostler FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA hostler FROM PUBLIC;

GRANT USAGE ON SCHEMA hostler TO hostler_submit, hostler_work, hostler_admin;

GRANT EXECUTE ON FUNCTION
    hostler.enqueue(
        text, text, jsonb, integer, timestamptz, interval, integer, interval, text, boolean,
        interval),
    hostler.enqueue_many(jsonb, boolean),
    hostler.task_result(uuid)
TO hostler_submit;

GRANT EXECUTE ON FUNCTION
    hostler.claim_task(text, text, text[], interval),
    hostler.heartbeat(text, text, interval),
    hostler.complete_task(uuid, jsonb, integer, text, text),
    hostler.fail_task(uuid, text, integer, text, text, jsonb),
    hostler.release_task(uuid, text, integer, text, text)
TO hostler_work;

GRANT ALL ON ALL TABLES IN SCHEMA hostler TO hostler_admin;
GRANT ALL ON ALL SEQUENCES IN SCHEMA hostler TO hostler_admin;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA hostler TO hostler_admin;

-- The same for what later migrations make: they are run by the owner of the schema.
DO $$
DECLARE
    owner name := (
        SELECT pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace
        WHERE nspname = 'hostler'
    );
    change text;
BEGIN
    FOREACH change IN ARRAY ARRAY[
        'IN SCHEMA hostler GRANT ALL ON TABLES TO hostler_admin',
        'IN SCHEMA hostler GRANT ALL ON SEQUENCES TO hostler_admin',
        'IN SCHEMA hostler GRANT EXECUTE ON FUNCTIONS TO hostler_admin'
    ] LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I %s', owner, change);
    END LOOP;
END
$$;
