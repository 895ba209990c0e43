-- The statements of every day, as functions: planned once a session, one round trip each, and safe
-- behind a transaction pooler. They move data; what may happen to a job is decided in Rust.
--
-- Sequential scans are off in them: a plan made while a table was empty must not stay. JIT is off,
-- which would take longer than they do.

-- The store's own time. `p_now` is what the caller's clock shows; null: the database's clock.
create function taskwright.time_of(p_now bigint) returns bigint
language plpgsql stable as $$
begin
    return greatest(
        coalesce(p_now, (extract(epoch from clock_timestamp()) * 1000000)::bigint),
        (select high_water from taskwright.meta where one));
end $$;

-- The numbers of namespaces by name; new ones are given a number.
create function taskwright.namespaces(p_names text[]) returns table (name text, number integer)
language plpgsql as $$
#variable_conflict use_column
begin
    if exists (select from unnest(p_names) wanted(name)
               where not exists (select from taskwright.namespace n where n.name = wanted.name)) then
        insert into taskwright.namespace (name) select unnest(p_names) on conflict do nothing;
    end if;
    return query select n.name, n.number from taskwright.namespace n where n.name = any(p_names);
end $$;

-- The numbers of lanes; new ones are given a number while fewer than `p_max` pairs of queue and
-- task are known. What has no room is left out.
create function taskwright.lanes(
    p_namespace integer[], p_queue text[], p_task text[], p_priority smallint[], p_kind smallint[],
    p_max integer
) returns table (ord bigint, number integer)
language plpgsql as $$
#variable_conflict use_column
declare
    v_room integer;
begin
    perform pg_advisory_xact_lock(hashtext('taskwright.lane'));
    v_room := p_max - (select count(*) from
        (select distinct namespace, queue, task from taskwright.lane) pairs)::integer;
    with wanted as (
        select * from unnest(p_namespace, p_queue, p_task, p_priority, p_kind) with ordinality
            as w(namespace, queue, task, priority, kind, ord)
    ), fresh as (
        select namespace, queue, task, min(ord) as ord from wanted w
        where not exists (select from taskwright.lane l where l.namespace = w.namespace
                          and l.queue = w.queue and l.task = w.task)
        group by namespace, queue, task order by min(ord) limit greatest(v_room, 0)
    )
    insert into taskwright.lane (namespace, queue, task, priority, kind)
    select w.namespace, w.queue, w.task, w.priority, w.kind from wanted w
    where exists (select from fresh f where f.namespace = w.namespace and f.queue = w.queue
                  and f.task = w.task)
       or exists (select from taskwright.lane l where l.namespace = w.namespace
                  and l.queue = w.queue and l.task = w.task)
    on conflict do nothing;
    return query
        select w.ord, l.number
        from unnest(p_namespace, p_queue, p_task, p_priority, p_kind) with ordinality
            as w(namespace, queue, task, priority, kind, ord)
        join taskwright.lane l on l.namespace = w.namespace and l.queue = w.queue
            and l.task = w.task and l.priority = w.priority and l.kind = w.kind;
end $$;
