-- Begins a sweep: serves lease time, at most `p_served_max` of it, and says what there is to do, so
-- that an idle store costs one statement a sweep. `is_due` is false where another node has begun one
-- within `p_pause`.
create function taskwright.begin_sweep(
    p_now bigint, p_served_max bigint, p_pause bigint, p_window bigint, p_tally_from bigint)
returns table (now bigint, served bigint, is_due boolean, lapsed boolean, overdue boolean,
               expired boolean, intake boolean, next_due bigint, tally boolean, forgotten boolean,
               wake_at bigint, limited boolean)
language plpgsql set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
    v_now    bigint := taskwright.time_of(p_now);
    v_due    boolean;
    v_served bigint;
begin
    update taskwright.meta m set
        served = m.served + greatest(least(v_now - m.swept_at, p_served_max), 0),
        swept_at = greatest(m.swept_at, v_now), high_water = greatest(m.high_water, v_now)
    where one and (v_now - m.swept_at >= p_pause or v_now < m.swept_at)
    returning m.served into v_served;
    v_due := found;
    if not v_due then
        select m.served into v_served from taskwright.meta m where one;
    end if;
    return query select
        v_now, v_served, v_due,
        v_due and exists (select from taskwright.worker w where w.lease_end <= v_served),
        v_due and exists (select from taskwright.job j where j.state = 5 and j.deadline <= v_now),
        v_due and exists (select from taskwright.job j where j.expires_at <= v_now and j.state < 5
                          and j.max_losses is null),
        exists (select from taskwright.intake),
        (select min(j.run_at) from taskwright.job j where j.state = 2),
        v_due and exists (select from taskwright.tally t where t.number >= p_tally_from),
        v_due and exists (select from taskwright.ident k where k.finished_at <= v_now - p_window),
        (select min(d.wake_at) from taskwright.document d),
        exists (select from taskwright.limits);
end $$;

-- Makes due jobs ready. They go to the lane of those that come back, since their rank may be old.
-- Jobs with keys in a namespace where something is limited are left to Rust (limits.sql).
create function taskwright.make_due(p_now bigint, p_aging bigint, p_limit integer)
returns table (seq bigint, id uuid, lane integer, attempt integer)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    perform pg_advisory_xact_lock_shared(hashtext('taskwright.lane'), 1);
    insert into taskwright.lane as o (namespace, queue, task, requirement, priority, kind)
    select distinct l.namespace, l.queue, l.task, l.requirement, l.priority,
           greatest(l.kind, 1::smallint)
    from (select lane from taskwright.job j where j.state = 2 and j.run_at <= p_now
            and (j.keys is null or not taskwright.is_limited(j.namespace))
          order by j.run_at limit p_limit) due
    join taskwright.lane l on l.number = due.lane
    where not exists (
        select from taskwright.lane r where r.namespace = l.namespace and r.queue = l.queue
          and r.task = l.task and r.requirement = l.requirement and r.priority = l.priority
          and r.kind = greatest(l.kind, 1::smallint) and r.is_open)
    on conflict (namespace, queue, task, requirement, priority, kind) do update set is_open = true
        where not o.is_open;
    return query
        with due as (
            select j.seq, j.lane as old_lane,
                   (select r.number from taskwright.lane l join taskwright.lane r
                    on r.namespace = l.namespace and r.queue = l.queue and r.task = l.task
                       and r.requirement = l.requirement and r.priority = l.priority
                       and r.kind = greatest(l.kind, 1::smallint)
                       and r.is_open
                    where l.number = j.lane) as new_lane
            from taskwright.job j
            where j.state = 2 and j.run_at <= p_now
              and (j.keys is null or not taskwright.is_limited(j.namespace))
            order by j.run_at limit p_limit for update skip locked
        ), moved as (
            update taskwright.job j set
                state = 1, lane = d.new_lane, rank = j.run_at - j.priority * p_aging
            -- Others may have come due in between, for whom there is no lane yet.
            from due d where j.seq = d.seq and d.new_lane is not null
            returning j.seq, j.id, j.lane, j.attempt, d.old_lane
        ), counted as (
            insert into taskwright.tally (lane, state, delta)
            select lane, state, sum(delta) from (
                select old_lane as lane, 2 as state, -1 as delta from moved
                union all select lane, 1, 1 from moved) changes
            group by lane, state
        )
        select m.seq, m.id, m.lane, m.attempt from moved m;
end $$;

-- Adds what writers noted to the counters, from the number `p_from` on: dead rows below it, which
-- somebody's old snapshot keeps from vacuum, are not looked at. Answers the highest number taken.
create function taskwright.fold_tally(p_from bigint, p_limit integer) returns bigint
language plpgsql set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
    v_last bigint;
begin
    with taken as (
        delete from taskwright.tally t where t.number = any(array(
            select number from taskwright.tally where number >= p_from
            order by number limit p_limit for update skip locked))
        returning t.number, t.lane, t.state, t.delta
    ), added as (
        insert into taskwright.counter as c (lane, state, amount)
        select lane, state, sum(delta) from taken group by lane, state order by lane, state
        on conflict (lane, state) do update set amount = c.amount + excluded.amount
    )
    select max(number) into v_last from taken;
    return v_last;
end $$;

-- Opens the next bucket for ended jobs. Runs as the owner of the tables, whoever calls it.
create function taskwright.open_bucket(p_now bigint) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_last integer := (select max(number) from taskwright.bucket);
    v_next integer := coalesce(v_last, 0) + 1;
begin
    perform 1 from taskwright.meta for update;
    execute format(
        'create table taskwright.ended_%s (like taskwright.ended including indexes)', v_next);
    execute format(
        'alter table taskwright.ended attach partition taskwright.ended_%s for values in (%s)',
        v_next, v_next);
    if v_last is not null then
        execute format(
            'update taskwright.bucket set closed_at = $1,
                 (jobs, bytes) = (select count(*), coalesce(sum(weight), 0)
                                  from taskwright.ended_%s) where number = $2', v_last)
        using p_now, v_last;
    end if;
    insert into taskwright.bucket values (v_next, p_now);
    update taskwright.meta set bucket = v_next;
    return v_next;
end $$;

-- Drops a bucket and all jobs in it. Runs as the owner of the tables, whoever calls it.
create function taskwright.drop_bucket(p_bucket integer, p_now bigint, p_window bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_count bigint;
begin
    set local lock_timeout = '50ms';
    execute format('alter table taskwright.ended detach partition taskwright.ended_%s', p_bucket);
    execute format($q$
        with everything as (
            select seq, id, namespace, lane, state, finished_at, weight, unique_key, unique_until
            from taskwright.ended_%s
        ), counted as (
            insert into taskwright.tally (lane, state, delta)
            select lane, state, -count(*) from everything group by lane, state
            union all
            select lane, 100, -sum(weight) from everything group by lane
        ), forgotten as (
            delete from taskwright.ident k using everything e
            where k.id = e.id and k.namespace = e.namespace and e.finished_at + $2 <= $1
        ), remembered as (
            update taskwright.ident k set state = e.state, finished_at = e.finished_at
            from everything e
            where k.id = e.id and k.namespace = e.namespace and e.finished_at + $2 > $1
        ), freed as (
            delete from taskwright.hold h using everything e
            where e.unique_until = 2 and h.key = e.unique_key and h.namespace = e.namespace
              and h.seq = e.seq
        )
        select count(*) from everything $q$, p_bucket)
    into v_count using p_now, p_window;
    execute format('drop table taskwright.ended_%s', p_bucket);
    delete from taskwright.bucket where number = p_bucket;
    return v_count;
end $$;

select taskwright.open_bucket(0);
