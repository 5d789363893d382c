-- name: setup
-- What a database's administrator installs once in a database whose connection limits may be raised.
-- The daemon's role may call these functions and nothing else; what they may change, and how far, is in "allowed".
CREATE SCHEMA IF NOT EXISTS remediator_limits;
REVOKE ALL ON SCHEMA remediator_limits FROM PUBLIC;

-- Which limits may be changed, and up to how many connections. scope 'server' with name 'max_connections' is ALTER SYSTEM.
CREATE TABLE IF NOT EXISTS remediator_limits.allowed (
    scope text NOT NULL CHECK (scope IN ('role', 'database', 'server')),
    name  text NOT NULL,
    most  integer NOT NULL CHECK (most BETWEEN 1 AND 10000),
    PRIMARY KEY (scope, name)
);

-- The mark of every action that was done here, begun here, or may never be done here any more (void).
CREATE TABLE IF NOT EXISTS remediator_limits.applied (
    action_id text PRIMARY KEY CHECK (action_id ~ '^[0-9a-f]{40}$'),
    number    bigint NOT NULL,
    fence     bigint NOT NULL,
    state     text NOT NULL CHECK (state IN ('intent', 'done', 'void')),
    what      jsonb NOT NULL,
    result    jsonb NOT NULL DEFAULT '{}',
    at        timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The highest fence that was seen. Every change locks this row, so changes come one after the other.
CREATE TABLE IF NOT EXISTS remediator_limits.fence (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    fence bigint NOT NULL
);
INSERT INTO remediator_limits.fence (fence) VALUES (0) ON CONFLICT DO NOTHING;

-- Begin an action: new, or done already, void, overtaken by a later fence. To be called by the functions below only.
CREATE OR REPLACE FUNCTION remediator_limits.begin_action(
    p_action text, p_number bigint, p_fence bigint, p_state text, p_what jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_seen bigint;
    v_mark remediator_limits.applied;
BEGIN
    SELECT fence INTO STRICT v_seen FROM remediator_limits.fence FOR UPDATE;
    SELECT * INTO v_mark FROM remediator_limits.applied WHERE action_id = p_action;
    IF v_mark.state = 'done' THEN
        RETURN jsonb_build_object('outcome', 'already', 'result', v_mark.result);
    ELSIF v_mark.state = 'void' THEN
        RETURN jsonb_build_object('outcome', 'void');
    ELSIF p_fence < v_seen THEN
        RETURN jsonb_build_object('outcome', 'overtaken', 'fence', v_seen);
    END IF;
    UPDATE remediator_limits.fence SET fence = p_fence;
    INSERT INTO remediator_limits.applied (action_id, number, fence, state, what)
        VALUES (p_action, p_number, p_fence, p_state, p_what) ON CONFLICT DO NOTHING;
    RETURN jsonb_build_object('outcome', CASE WHEN v_mark.action_id IS NULL THEN 'new' ELSE 'again' END);
END $$;

-- The limit of a role or a database, -1 where there is none, NULL where there is no such thing. Superusers have none.
CREATE OR REPLACE FUNCTION remediator_limits.limit_of(p_scope text, p_name text) RETURNS integer
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE p_scope
        WHEN 'role' THEN (SELECT rolconnlimit FROM pg_roles WHERE rolname = p_name AND NOT rolsuper)
        WHEN 'database' THEN (SELECT datconnlimit FROM pg_database WHERE datname = p_name)
    END
$$;

-- The sessions that idle in a transaction and may be ended: no superuser's, none that replicates, none of a backup tool.
CREATE OR REPLACE FUNCTION remediator_limits.idle_sessions(p_older_than integer)
    RETURNS TABLE (pid integer, usename name, application_name text, datname name, client text, idle_s integer)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT session.pid, session.usename, session.application_name, session.datname, session.client_addr::text,
           extract(epoch FROM clock_timestamp() - session.state_change)::integer
      FROM pg_stat_activity AS session
      JOIN pg_roles AS role ON role.oid = session.usesysid
     WHERE session.backend_type = 'client backend'
       AND session.state IN ('idle in transaction', 'idle in transaction (aborted)')
       AND session.state_change < clock_timestamp() - make_interval(secs => p_older_than)
       AND NOT role.rolsuper AND NOT role.rolreplication
       AND session.usename <> session_user AND session.pid <> pg_backend_pid()
       AND session.application_name !~* '^(pg_dump|pg_restore|pg_basebackup|pg_receivewal|pgbackrest|barman|wal-g|wal-e|walg|repmgr|patroni|cnpg|remediator)'
     ORDER BY session.state_change
$$;

-- Set connection limits and end idle sessions, all in the caller's transaction, which must commit only what is 'done'.
CREATE OR REPLACE FUNCTION remediator_limits.set_limits(
    p_action text, p_number bigint, p_fence bigint, p_limits jsonb, p_idle_s integer, p_idle_most integer,
    p_dry_run boolean) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_begun jsonb;
    v_wish record;
    v_now integer;
    v_most integer;
    v_ended jsonb := '[]';
    v_session record;
BEGIN
    v_begun := remediator_limits.begin_action(p_action, p_number, p_fence, 'done', p_limits);
    IF v_begun->>'outcome' <> 'new' THEN
        RETURN v_begun;
    END IF;
    FOR v_wish IN SELECT * FROM jsonb_to_recordset(p_limits) AS wish (scope text, name text, before integer, "limit" integer)
    LOOP
        v_now := remediator_limits.limit_of(v_wish.scope, v_wish.name);
        SELECT most INTO v_most FROM remediator_limits.allowed
         WHERE allowed.scope = v_wish.scope AND allowed.name = v_wish.name;
        IF v_most IS NULL OR v_wish.scope = 'server' OR v_wish."limit" NOT BETWEEN 1 AND v_most THEN
            RETURN jsonb_build_object('outcome', 'not_allowed', 'name', v_wish.name, 'most', v_most);
        ELSIF v_now IS DISTINCT FROM v_wish.before THEN
            RETURN jsonb_build_object('outcome', 'changed', 'name', v_wish.name, 'found', v_now);
        END IF;
        EXECUTE format('ALTER %s %I CONNECTION LIMIT %s',
            CASE v_wish.scope WHEN 'role' THEN 'ROLE' ELSE 'DATABASE' END, v_wish.name, v_wish."limit");
    END LOOP;
    FOR v_session IN SELECT * FROM remediator_limits.idle_sessions(p_idle_s) LIMIT least(p_idle_most, 50)
    LOOP
        IF p_dry_run OR pg_terminate_backend(v_session.pid) THEN
            v_ended := v_ended || to_jsonb(v_session);
        END IF;
    END LOOP;
    UPDATE remediator_limits.applied SET result = jsonb_build_object('limits', p_limits, 'ended', v_ended)
     WHERE action_id = p_action;
    RETURN jsonb_build_object('outcome', 'done', 'result', jsonb_build_object('limits', p_limits, 'ended', v_ended));
END $$;

-- max_connections as the configuration files have it; it counts from the next restart.
CREATE OR REPLACE FUNCTION remediator_limits.configured() RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        (SELECT setting FROM pg_file_settings
          WHERE name = 'max_connections' AND setting ~ '^[0-9]{1,9}$' ORDER BY seqno DESC LIMIT 1),
        (SELECT boot_val FROM pg_settings WHERE name = 'max_connections'))::integer
$$;

-- Write the intent to set max_connections. ALTER SYSTEM cannot be part of a transaction: it comes after this commits.
CREATE OR REPLACE FUNCTION remediator_limits.intend_maximum(
    p_action text, p_number bigint, p_fence bigint, p_before integer, p_value integer) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_begun jsonb;
    v_most integer;
    v_now integer := remediator_limits.configured();
BEGIN
    SELECT most INTO v_most FROM remediator_limits.allowed WHERE scope = 'server' AND name = 'max_connections';
    IF v_most IS NULL OR p_value NOT BETWEEN 1 AND v_most THEN
        RETURN jsonb_build_object('outcome', 'not_allowed', 'name', 'max_connections', 'most', v_most);
    END IF;
    IF (SELECT source FROM pg_settings WHERE name = 'max_connections') IN ('command line', 'environment variable') THEN
        RETURN jsonb_build_object('outcome', 'fixed');
    END IF;
    v_begun := remediator_limits.begin_action(p_action, p_number, p_fence, 'intent',
        jsonb_build_object('max_connections', p_value, 'before', p_before));
    -- Begun before: then what is configured is the former value, or this one already; any other is somebody else's.
    IF (v_begun->>'outcome' = 'new' AND v_now <> p_before)
       OR (v_begun->>'outcome' = 'again' AND v_now NOT IN (p_before, p_value)) THEN
        RETURN jsonb_build_object('outcome', 'changed', 'name', 'max_connections', 'found', v_now);
    END IF;
    RETURN v_begun;
END $$;

-- Mark a change of max_connections as done, if the configuration really has it; say whether a restart is needed.
CREATE OR REPLACE FUNCTION remediator_limits.finish_maximum(p_action text, p_value integer) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_now integer := remediator_limits.configured();
    v_result jsonb;
BEGIN
    IF v_now <> p_value THEN
        RETURN jsonb_build_object('outcome', 'changed', 'name', 'max_connections', 'found', v_now);
    END IF;
    SELECT jsonb_build_object('configured', v_now, 'running', setting::integer, 'pending_restart', pending_restart)
      INTO v_result FROM pg_settings WHERE name = 'max_connections';
    UPDATE remediator_limits.applied SET state = 'done', result = v_result
     WHERE action_id = p_action AND state = 'intent';
    RETURN jsonb_build_object('outcome', 'done', 'result', v_result);
END $$;

-- Whether an action was done. With p_close, one that was not is void from now on: what is still on its way finds that.
CREATE OR REPLACE FUNCTION remediator_limits.settle(
    p_action text, p_number bigint, p_fence bigint, p_value integer, p_close boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_state text;
BEGIN
    IF NOT p_close THEN
        RETURN (SELECT state FROM remediator_limits.applied WHERE action_id = p_action);
    END IF;
    -- Nobody is between the intent and ALTER SYSTEM while this is held.
    PERFORM pg_advisory_xact_lock(hashtext('remediator_limits'), 1);
    PERFORM 1 FROM remediator_limits.fence FOR UPDATE;
    SELECT state INTO v_state FROM remediator_limits.applied WHERE action_id = p_action;
    IF v_state = 'done' THEN
        RETURN 'done';
    ELSIF v_state = 'intent' AND remediator_limits.configured() = p_value THEN
        UPDATE remediator_limits.applied SET state = 'done' WHERE action_id = p_action;
        RETURN 'done';
    END IF;
    INSERT INTO remediator_limits.applied (action_id, number, fence, state, what)
        VALUES (p_action, p_number, p_fence, 'void', '{}')
        ON CONFLICT (action_id) DO UPDATE SET state = 'void';
    RETURN 'void';
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA remediator_limits FROM PUBLIC;
