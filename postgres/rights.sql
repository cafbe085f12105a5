-- Nobody but the owner may look inside: neither everybody nor, on Supabase, the
-- roles behind its web API, which may have been granted what is new by default.
REVOKE ALL ON SCHEMA hookkeeper FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA hookkeeper FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA hookkeeper FROM PUBLIC;
DO $$
DECLARE
    r text;
BEGIN
    FOR r IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role') LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA hookkeeper FROM %I', r);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA hookkeeper FROM %I', r);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA hookkeeper FROM %I', r);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA hookkeeper FROM %I', r);
    END LOOP;
END $$;
