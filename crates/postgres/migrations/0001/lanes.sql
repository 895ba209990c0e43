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

-- How many triples of queue, task and requirement have open lanes.
create function taskwright.open_pairs() returns integer
language sql stable as $$
    select count(*)::integer from
        (select distinct namespace, queue, task, requirement from taskwright.lane
         where is_open) pairs;
$$;

-- The numbers of lanes, which are open then; new ones are given a number while fewer than `p_max`
-- triples of queue, task and requirement have open lanes. What has no room is left out.
create function taskwright.lanes(
    p_namespace integer[], p_queue text[], p_task text[], p_requires text[], p_priority smallint[],
    p_kind smallint[], p_max integer, p_tally_from bigint
) returns table (ord bigint, number integer)
language plpgsql as $$
#variable_conflict use_column
declare
    v_fresh integer;
    v_room  integer;
    v_last  integer;
    v_required integer[];
begin
    perform pg_advisory_xact_lock(hashtext('taskwright.lane'));
    v_last := coalesce((select max(r.number) from taskwright.requirement r), 0);
    insert into taskwright.requirement (text)
    select distinct w.text from unnest(p_requires) w(text)
    where w.text <> '' and not exists (select from taskwright.requirement r where r.text = w.text);
    v_required := array(
        select coalesce(r.number, 0) from unnest(p_requires) with ordinality w(text, ord)
        left join taskwright.requirement r on r.text = w.text order by w.ord);
    select count(*) into v_fresh from (
        select distinct namespace, queue, task, requirement
        from unnest(p_namespace, p_queue, p_task, v_required)
            w(namespace, queue, task, requirement)) w
    where not exists (select from taskwright.lane l where l.namespace = w.namespace
                      and l.queue = w.queue and l.task = w.task
                      and l.requirement = w.requirement and l.is_open);
    v_room := p_max - taskwright.open_pairs();
    if v_fresh > v_room then
        v_room := v_room + taskwright.close_lanes(p_tally_from);
    end if;
    with wanted as (
        select * from unnest(p_namespace, p_queue, p_task, v_required, p_priority, p_kind)
            with ordinality as w(namespace, queue, task, requirement, priority, kind, ord)
    ), fresh as (
        select namespace, queue, task, requirement from wanted w
        where not exists (select from taskwright.lane l where l.namespace = w.namespace
                          and l.queue = w.queue and l.task = w.task
                          and l.requirement = w.requirement and l.is_open)
        group by namespace, queue, task, requirement order by min(ord) limit greatest(v_room, 0)
    )
    insert into taskwright.lane as l (namespace, queue, task, requirement, priority, kind, is_bound)
    select distinct w.namespace, w.queue, w.task, w.requirement, w.priority, w.kind,
           exists (select from taskwright.policy p where p.namespace = w.namespace and p.kind = 0
                   and p.queue = '' and p.name = w.queue and p.waiting is not null)
    from wanted w
    where (exists (select from fresh f where f.namespace = w.namespace and f.queue = w.queue
                   and f.task = w.task and f.requirement = w.requirement)
           or exists (select from taskwright.lane o where o.namespace = w.namespace
                      and o.queue = w.queue and o.task = w.task
                      and o.requirement = w.requirement and o.is_open))
      and not exists (select from taskwright.lane o where o.namespace = w.namespace
                      and o.queue = w.queue and o.task = w.task
                      and o.requirement = w.requirement and o.priority = w.priority
                      and o.kind = w.kind and o.is_open)
    on conflict (namespace, queue, task, requirement, priority, kind) do update set is_open = true
        where not l.is_open;
    -- Those of lanes that there was no room for.
    delete from taskwright.requirement r
    where r.number > v_last
      and not exists (select from taskwright.lane l where l.requirement = r.number);
    return query
        select w.ord, l.number
        from unnest(p_namespace, p_queue, p_task, v_required, p_priority, p_kind) with ordinality
            as w(namespace, queue, task, requirement, priority, kind, ord)
        join taskwright.lane l on l.namespace = w.namespace and l.queue = w.queue
            and l.task = w.task and l.requirement = w.requirement and l.priority = w.priority
            and l.kind = w.kind and l.is_open;
end $$;

-- Whoever makes jobs wait in lanes calls this before, in a statement of its own: until the end of
-- his transaction none of them is closed. Some that are closed already are opened where `p_reopen`
-- says so, since there was room for them; else, and where one is gone, the error TW004 is raised:
-- ask `lanes` again.
create function taskwright.enter_lanes(p_lane integer[], p_reopen boolean) returns void
language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(hashtext('taskwright.lane'), 1);
    if p_reopen then
        update taskwright.lane l set is_open = true where l.number = any(p_lane) and not l.is_open;
    end if;
    if exists (select from (select distinct unnest(p_lane) as number) w
               where (select l.is_open from taskwright.lane l where l.number = w.number)
                   is not true) then
        raise exception 'a lane was given back' using errcode = 'TW004';
    end if;
end $$;

-- The same for new jobs. TW007: a queue lets only so many wait, and the caller has not looked whether
-- these may, as `p_looked` would say.
create function taskwright.enter_fresh(p_lane integer[], p_looked boolean) returns void
language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(hashtext('taskwright.lane'), 1);
    if exists (select from (select distinct unnest(p_lane) as number) w
               where (select l.is_open and (p_looked or not l.is_bound) from taskwright.lane l
                      where l.number = w.number) is not true) then
        perform taskwright.enter_lanes(p_lane, false);
        raise exception 'a queue lets only so many jobs wait' using errcode = 'TW007';
    end if;
end $$;

-- The same for one lane, which is not bound, and the time after that.
create function taskwright.enter_lane(p_lane integer, p_now bigint) returns bigint
language plpgsql as $$
declare
    v_now bigint;
begin
    -- An expression costs a third of what a statement would. The lock is always had in the end.
    if pg_advisory_xact_lock_shared(hashtext('taskwright.lane'), 1) is null then
        return null;
    end if;
    select greatest(coalesce(p_now, (extract(epoch from clock_timestamp()) * 1000000)::bigint),
                    m.high_water)
    into v_now
    from taskwright.meta m, taskwright.lane l
    where m.one and l.number = p_lane and l.is_open and not l.is_bound;
    if not found then
        perform taskwright.enter_fresh(array[p_lane], false);
        raise exception 'a lane was given back' using errcode = 'TW004';
    end if;
    return v_now;
end $$;

-- Closes the lanes of all triples of queue, task and requirement without live jobs, and answers how
-- many triples.
-- Those who write jobs are waited for, and wait themselves meanwhile, so never for long.
create function taskwright.close_lanes(p_tally_from bigint) returns integer
language plpgsql set enable_seqscan = off set jit = off set lock_timeout = '200ms' as $$
#variable_conflict use_column
declare
    v_pairs integer;
begin
    perform pg_advisory_xact_lock(hashtext('taskwright.lane'));
    perform pg_advisory_xact_lock(hashtext('taskwright.lane'), 1);
    with noted as (
        select lane, sum(delta) as amount from taskwright.tally
        where number >= p_tally_from and state < 6 group by lane
    ), idle as (
        select l.namespace, l.queue, l.task, l.requirement
        from taskwright.lane l left join noted n on n.lane = l.number
        where l.is_open
        group by l.namespace, l.queue, l.task, l.requirement
        having not bool_or(
            (select coalesce(sum(c.amount), 0) from taskwright.counter c
             where c.lane = l.number and c.state < 6) + coalesce(n.amount, 0) <> 0
            -- The counters would do. But a job that is ready in a closed lane nobody would find.
            or exists (select from taskwright.job j where j.lane = l.number and j.state = 1))
    ), closed as (
        update taskwright.lane l set is_open = false from idle i
        where l.namespace = i.namespace and l.queue = i.queue and l.task = i.task
          and l.requirement = i.requirement and l.is_open
    )
    select count(*) into v_pairs from idle;
    return v_pairs;
end $$;

-- Forgets closed lanes that no job names any more, ended ones included, and what only they required.
-- It looks at `p_limit` lanes
-- with numbers above `p_after`, and answers the number to go on from; null at the end.
create function taskwright.forget_lanes(p_after integer, p_limit integer, p_tally_from bigint)
returns integer
language plpgsql set enable_seqscan = off set jit = off set lock_timeout = '200ms' as $$
#variable_conflict use_column
declare
    v_looked integer[] := array(
        select number from taskwright.lane where number > p_after order by number limit p_limit);
    v_gone   integer[];
    v_required integer[];
begin
    -- First without, then with the lock that writers wait for: there seldom is such a lane.
    v_gone := taskwright.unused_lanes(v_looked, p_tally_from);
    if cardinality(v_gone) > 0 then
        perform pg_advisory_xact_lock(hashtext('taskwright.lane'));
        perform pg_advisory_xact_lock(hashtext('taskwright.lane'), 1);
        v_gone := taskwright.unused_lanes(v_gone, p_tally_from);
        delete from taskwright.counter c where c.lane = any(v_gone);
        v_required := array(
            select distinct l.requirement from taskwright.lane l where l.number = any(v_gone));
        delete from taskwright.lane l where l.number = any(v_gone);
        delete from taskwright.requirement r
        where r.number = any(v_required)
          and not exists (select from taskwright.lane l where l.requirement = r.number);
    end if;
    return case when cardinality(v_looked) = p_limit then v_looked[p_limit] end;
end $$;

-- Those of these lanes that are closed and that no job names.
create function taskwright.unused_lanes(p_lane integer[], p_tally_from bigint) returns integer[]
language sql as $$
    select coalesce(array_agg(l.number), '{}') from taskwright.lane l
    where l.number = any(p_lane) and not l.is_open
      and not exists (select from taskwright.counter c where c.lane = l.number and c.amount <> 0)
      and l.number not in (select t.lane from taskwright.tally t where t.number >= p_tally_from);
$$;
