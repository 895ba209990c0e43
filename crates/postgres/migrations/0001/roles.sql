-- Who may do what. The owner runs migrations and owns everything; the others are given what they
-- need and no more, and given it again after each migration.
--
--     select taskwright.grant_app('billing');      -- processes that run Taskwright
--     select taskwright.grant_enqueue('website');  -- may call taskwright.enqueue, nothing else
--     select taskwright.grant_read('grafana');     -- may look
--     select taskwright.revoke_role('website');    -- may do nothing any more

create table taskwright.member (
    role           text    not null primary key,
    may            text    not null check (may in ('app', 'enqueue', 'read'))
);

-- Grants a role what `p_may` says. As the owner only: nobody else may grant.
create function taskwright.apply_grants(p_role text, p_may text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_schema oid := (select relnamespace from pg_class where oid = 'taskwright.meta'::regclass);
    v_thing  record;
begin
    execute format('grant usage on schema %s to %I', v_schema::regnamespace, p_role);
    for v_thing in
        select c.oid::regclass as name,
               case when c.relkind = 'S' then 'usage, select on sequence'
                    when p_may = 'read' or c.relkind = 'v' or c.relname in
                        ('schema_version', 'schema_step', 'migration', 'member') then 'select on'
                    else 'select, insert, update, delete on' end as what
        from pg_class c
        where c.relnamespace = v_schema and not c.relispartition
          and c.relkind = any(case p_may when 'app' then '{r,p,v,S}' when 'read' then '{r,p,v}'
                              else '{}' end::"char"[])
    loop
        execute format('grant %s %s to %I', v_thing.what, v_thing.name, p_role);
    end loop;
    for v_thing in
        select p.oid::regprocedure as name from pg_proc p
        where p.pronamespace = v_schema and (
            p_may = 'app' and p.proname !~ '^(grant|revoke|apply)_'
            or p_may = 'enqueue' and p.proname = 'enqueue')
    loop
        execute format('grant execute on function %s to %I', v_thing.name, p_role);
    end loop;
end $$;

-- Takes from a role all that it may.
create function taskwright.revoke_role(p_role text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_schema regnamespace :=
        (select relnamespace from pg_class where oid = 'taskwright.meta'::regclass);
begin
    delete from taskwright.member where role = p_role;
    execute format('revoke all on all tables in schema %s from %I', v_schema, p_role);
    execute format('revoke all on all sequences in schema %s from %I', v_schema, p_role);
    execute format('revoke all on all functions in schema %s from %I', v_schema, p_role);
    execute format('revoke all on schema %s from %I', v_schema, p_role);
end $$;

create function taskwright.grant_role(p_role text, p_may text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform taskwright.revoke_role(p_role);
    insert into taskwright.member (role, may) values (p_role, p_may);
    perform taskwright.apply_grants(p_role, p_may);
end $$;

-- For the processes that run Taskwright: all that jobs need, no change of the schema.
create function taskwright.grant_app(p_role text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select taskwright.grant_role(p_role, 'app');
$$;

-- For applications that only enqueue, with taskwright.enqueue.
create function taskwright.grant_enqueue(p_role text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select taskwright.grant_role(p_role, 'enqueue');
$$;

-- For people and dashboards that only look; they see args and results.
create function taskwright.grant_read(p_role text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select taskwright.grant_role(p_role, 'read');
$$;

-- Gives every known role what it may, of whatever is there by now. Every migration ends with it.
create function taskwright.grant_all() returns void
language sql set search_path = pg_catalog, pg_temp as $$
    select taskwright.apply_grants(m.role, m.may)
    from taskwright.member m join pg_roles r on r.rolname = m.role;
$$;
