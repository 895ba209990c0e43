-- What may start, and who stands in line. Decided in Rust (src/limits/), by `core::admission`; here is
-- what it needs to know and what it writes.
--
-- Whoever decides what may start in a namespace where something is limited holds its lock; so do those
-- who set policies. He waits for no row, since others hold rows while they wait for nobody: what is
-- locked he leaves out. Claims where nothing is limited share the lock, so that none of them is under
-- way when the first policy is set. Nobody else takes it: who changes a job notes its keys in the same
-- commit, and lines are served afterwards, under the lock.
--
-- How many run is never stored but counted, in `job`.

-- When the next start of a key, queue or task is due by its rate, and the next retry of a queue by its
-- budget. What lies in the past says nothing.
create table taskwright.arrival (
    namespace      integer not null,
    number         bigint  not null,
    at             bigint  not null,
    primary key (number, namespace)
) with (fillfactor = 50);
create index arrival_at on taskwright.arrival (at);

-- Keys with a line that have more room by time alone, and when.
create table taskwright.line_timer (
    namespace      integer not null,
    number         bigint  not null,
    at             bigint  not null,
    primary key (number, namespace)
) with (fillfactor = 50);
create index line_timer_at on taskwright.line_timer (at);

-- Keys whose line is to be served, as their room may have changed. Only added to, so that no two
-- writers wait for each other. `is_end`: only since an attempt ended, which where it does not count how
-- many run makes no room.
create table taskwright.line_note (
    note           bigint generated always as identity primary key,
    namespace      integer not null,
    number         bigint  not null,
    is_end         boolean not null default false
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
create index line_note_namespace on taskwright.line_note (namespace, number);

-- Who stands in a line, in which order.
create index job_line on taskwright.job (line, lane, rank, seq) where state = 3;

-- Whether anything in a namespace limits what may start.
create function taskwright.is_limited(p_namespace integer) returns boolean
language sql stable as $$
    select exists (select from taskwright.limits m
                   where m.namespace = p_namespace and m.starts > 0);
$$;

-- The same for one who is going to give jobs: if nothing is, nothing will be until he has committed.
create function taskwright.pass_limits(p_namespace integer) returns boolean
language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(hashtext('taskwright.limits'), p_namespace);
    return taskwright.is_limited(p_namespace);
end $$;

-- Raises TW006 unless the policies of these namespaces are those of these versions.
create function taskwright.check_limits(p_namespace integer[], p_version bigint[]) returns void
language plpgsql as $$
begin
    if exists (select from unnest(p_namespace, p_version) w(namespace, version)
               where w.version <> coalesce((
                   select m.version from taskwright.limits m where m.namespace = w.namespace), 0)) then
        raise exception 'policies have changed' using errcode = 'TW006';
    end if;
end $$;

-- The lines of these keys are to be served, if anything is limited.
create function taskwright.note_lines(p_namespace integer, p_number bigint[]) returns void
language sql as $$
    insert into taskwright.line_note (namespace, number)
    select distinct p_namespace, n.number from unnest(p_number) n(number)
    where taskwright.is_limited(p_namespace);
$$;

-- Up to so many keys that have lines, with numbers above `p_after`: each is found by one look.
create function taskwright.lines_after(p_after bigint, p_limit integer)
returns table (number bigint, namespace integer)
language sql stable set enable_seqscan = off set jit = off as $$
    with recursive line as (
        (select j.line, j.namespace from taskwright.job j
         where j.state = 3 and j.line > p_after order by j.line limit 1)
        union all
        select n.line, n.namespace from line l, lateral (
            select j.line, j.namespace from taskwright.job j
            where j.state = 3 and j.line > l.line order by j.line limit 1) n
    )
    select l.line, l.namespace from line l limit p_limit;
$$;

-- Takes the lock of a namespace, and up to `p_notes` of the keys that are to be served. Of these, it
-- answers those that have a line or a timer: with the others there is nothing to do. `ended`: those that
-- were noted only since attempts ended.
create function taskwright.open_desk(p_namespace integer, p_now bigint, p_notes integer)
returns table (now bigint, version bigint, noted bigint[], ended bigint[], is_full boolean)
language plpgsql set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
    v_noted bigint[];
    v_ended bigint[];
    v_count bigint;
begin
    perform pg_advisory_xact_lock(hashtext('taskwright.limits'), p_namespace);
    with gone as (
        delete from taskwright.line_note n where n.note = any(array(
            select o.note from taskwright.line_note o where o.namespace = p_namespace
            order by o.number limit p_notes))
        returning n.number, n.is_end
    ), noted as (
        select number, bool_and(is_end) as is_end, count(*) as amount from gone group by number
    )
    select array_agg(number), array_agg(number) filter (where is_end), sum(amount)
    into v_noted, v_ended, v_count from noted;
    return query select taskwright.time_of(p_now), coalesce((
            select m.version from taskwright.limits m where m.namespace = p_namespace), 0),
        array(select n.number from unnest(v_noted) n(number)
              where exists (select from taskwright.job j where j.state = 3 and j.line = n.number)
                 or exists (select from taskwright.line_timer t
                            where t.number = n.number and t.namespace = p_namespace)),
        coalesce(v_ended, '{}'), coalesce(v_count >= p_notes, false);
end $$;

-- Begins a claim where something is limited: takes the lock, and makes the worker known. `verdict`: 0
-- go on, 1 the number is lower than `last`, 2 it is that of the last claim.
create function taskwright.begin_claim(
    p_now bigint, p_namespace integer, p_worker uuid, p_epoch integer, p_in_process boolean,
    p_claim_seq bigint, p_lease bigint, p_notes integer, p_profile text
) returns table (verdict smallint, last bigint, now bigint, version bigint, noted bigint[],
                 ended bigint[], has_suspect boolean, paused text[])
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_now  bigint;
    v_last bigint;
begin
    perform pg_advisory_xact_lock(hashtext('taskwright.limits'), p_namespace);
    v_now := taskwright.time_of(p_now);
    perform taskwright.greet(p_namespace, p_worker, p_epoch, p_in_process, null, p_lease, v_now,
                             case when p_now is null then 250000 else 1 end, p_profile);
    select c.claim_seq into v_last from taskwright.claim_log c
    where c.worker = p_worker and c.namespace = p_namespace order by c.claim_seq desc limit 1;
    if p_claim_seq = 0 or p_claim_seq <= v_last then
        return query select
            case when p_claim_seq = v_last and p_claim_seq > 0 then 2 else 1 end::smallint,
            coalesce(v_last, 0), v_now, 0::bigint, '{}'::bigint[], '{}'::bigint[], false,
            '{}'::text[];
        return;
    end if;
    return query select 0::smallint, coalesce(v_last, 0), d.now, d.version, d.noted, d.ended, exists (
            select from taskwright.job j join taskwright.lane l on l.number = j.lane
            where j.worker = p_worker and j.state = 5 and j.namespace = p_namespace and l.kind = 2),
            array(select q.queue from taskwright.queue q
                  where q.namespace = p_namespace and q.paused)
        from taskwright.open_desk(p_namespace, p_now, p_notes) d;
end $$;

-- Jobs that are ready in the lanes that a worker serves, the first of each lane: those whose requirement
-- is among `p_matching`, or has a number above `p_known`, which Rust decides about.
create function taskwright.first_candidates(
    p_now bigint, p_namespace integer, p_queues text[], p_tasks text[], p_floor_lanes integer[],
    p_floors bigint[], p_max integer, p_busy bigint[], p_matching integer[], p_known integer
) returns table (lane integer, seq bigint, rank bigint, run_at bigint, priority smallint, keys bigint[],
                 extras text, is_over boolean, slice integer)
language plpgsql stable set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_lanes integer[];
    v_from  bigint[];
begin
    select array_agg(l.number), array_agg(coalesce(f.floor, -9223372036854775808))
    into v_lanes, v_from
    from taskwright.lane l
    left join unnest(p_floor_lanes, p_floors) f(lane, floor) on f.lane = l.number
    where l.namespace = p_namespace and l.queue = any(p_queues) and l.is_open
      and (p_tasks is null or l.task = any(p_tasks))
      and (l.requirement = 0 or l.requirement = any(p_matching) or l.requirement > p_known)
      and not exists (select from taskwright.queue q where q.namespace = p_namespace
                      and q.queue = l.queue and q.paused);
    if v_lanes is null then
        return;
    end if;
    return query select c.* from taskwright.candidates(
        p_now, v_lanes, v_from, array_fill(-1::bigint, array[cardinality(v_lanes)]),
        -- Of a lane alone, some more than are wanted; of several, twice the share of each.
        case when cardinality(v_lanes) = 1 then least(1200, p_max::bigint + 12)
             else least(300, 2::bigint * p_max / cardinality(v_lanes) + 12) end::integer, p_busy) c;
end $$;

-- Jobs that are ready in lanes, the first of each lane behind a rank and number.
create function taskwright.candidates(
    p_now bigint, p_lane integer[], p_rank bigint[], p_seq bigint[], p_slice integer, p_busy bigint[]
) returns table (lane integer, seq bigint, rank bigint, run_at bigint, priority smallint, keys bigint[],
                 extras text, is_over boolean, slice integer)
language plpgsql stable set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    return query
        select l.lane, j.seq, j.rank, j.run_at, j.priority, j.keys,
               case when j.keys is not null then j.extras end, false, p_slice
        from unnest(p_lane, p_rank, p_seq) l(lane, rank, seq), lateral (
            select j.seq, j.rank, j.run_at, j.priority, j.keys, j.extras from taskwright.job j
            where j.lane = l.lane and j.state = 1 and (j.rank, j.seq) > (l.rank, l.seq)
              and (j.expires_at is null or j.expires_at > p_now or j.max_losses is not null)
              and j.seq <> all(p_busy)
            order by j.rank, j.seq limit p_slice) j;
end $$;

-- The lines of keys, the first of each lane.
create function taskwright.first_in_lines(
    p_now bigint, p_number bigint[], p_slice integer, p_busy bigint[]
) returns table (number bigint, lane integer, seq bigint, rank bigint, run_at bigint,
                 priority smallint, keys bigint[], extras text, is_over boolean)
language plpgsql stable set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_number bigint[];
    v_lane   integer[];
begin
    select array_agg(n.number), array_agg(l.lane) into v_number, v_lane
    from unnest(p_number) n(number), lateral (
        with recursive found as (
            (select j.lane from taskwright.job j
             where j.state = 3 and j.line = n.number order by j.lane limit 1)
            union all
            select x.lane from found f, lateral (
                select j.lane from taskwright.job j
                where j.state = 3 and j.line = n.number and j.lane > f.lane
                order by j.lane limit 1) x
        )
        select f.lane from found f) l;
    if v_lane is null then
        return;
    end if;
    return query select c.* from taskwright.in_lines(
        p_now, v_number, v_lane,
        array_fill((-9223372036854775808)::bigint, array[cardinality(v_lane)]),
        array_fill(-1::bigint, array[cardinality(v_lane)]), p_slice, p_busy) c;
end $$;

-- The lines of keys in some lanes, the first of each behind a rank and number.
create function taskwright.in_lines(
    p_now bigint, p_number bigint[], p_lane integer[], p_rank bigint[], p_seq bigint[],
    p_slice integer, p_busy bigint[]
) returns table (number bigint, lane integer, seq bigint, rank bigint, run_at bigint,
                 priority smallint, keys bigint[], extras text, is_over boolean)
language plpgsql stable set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    return query
        select l.number, l.lane, j.seq, j.rank, j.run_at, j.priority, j.keys, j.extras,
               j.max_losses is null and coalesce(j.expires_at <= p_now, false)
        from unnest(p_number, p_lane, p_rank, p_seq) l(number, lane, rank, seq), lateral (
            select j.seq, j.rank, j.run_at, j.priority, j.keys, j.extras, j.expires_at,
                   j.max_losses
            from taskwright.job j
            where j.line = l.number and j.lane = l.lane and j.state = 3
              and (j.rank, j.seq) > (l.rank, l.seq) and j.seq <> all(p_busy)
            order by j.rank, j.seq limit p_slice) j;
end $$;

-- How many jobs of each lane of a namespace run.
create function taskwright.lanes_running(p_namespace integer)
returns table (lane integer, amount bigint)
language plpgsql stable set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
begin
    return query select j.lane, count(*) from taskwright.job j
                 where j.state = 5 and j.namespace = p_namespace group by j.lane;
end $$;

-- Locks waiting jobs that are still as the caller saw them, in order of `seq`, and answers those that
-- it could lock at once.
create function taskwright.hold_jobs(
    p_seq bigint[], p_lane integer[], p_state smallint[], p_rank bigint[], p_line bigint[]
) returns table (seq bigint)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    return query
        select x.seq
        from unnest(p_seq, p_lane, p_state, p_rank, p_line) s(seq, lane, state, rank, line),
             lateral (
                 select j.seq from taskwright.job j
                 where j.seq = s.seq and j.lane = s.lane and j.state + 0 = s.state
                   and j.rank = s.rank and j.line is not distinct from s.line
                 limit 1 for update skip locked) x;
end $$;

-- Puts jobs that the caller has locked elsewhere. TW004: a lane was given back.
create function taskwright.put_jobs(
    p_seq bigint[], p_lane integer[], p_state smallint[], p_line bigint[], p_rank bigint[]
) returns void
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    perform taskwright.enter_lanes(p_lane, true);
    perform taskwright.count_moved(p_seq, p_lane, p_state);
    update taskwright.job j set lane = n.lane, state = n.state, line = n.line, rank = n.rank
    from unnest(p_seq, p_lane, p_state, p_line, p_rank) n(seq, lane, state, line, rank)
    where j.seq = n.seq;
end $$;

-- Gives a worker jobs that the caller has locked, and answers them, in order.
create function taskwright.give_jobs(
    p_now bigint, p_namespace integer, p_worker uuid, p_epoch integer, p_claim_seq bigint,
    p_grace bigint, p_seq bigint[], p_lane integer[], p_rank bigint[]
) returns table (
    seq bigint, id uuid, lane integer, attempt integer, epoch integer, failures integer,
    max_attempts integer, timeout_ms bigint, priority smallint, created_at bigint, run_at bigint,
    started_at bigint, rank bigint, checkpoint text, extras text, args text
)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    perform taskwright.count_moved(
        p_seq, p_lane, array_fill(5::smallint, array[cardinality(p_seq)]));
    insert into taskwright.claim_log values (p_namespace, p_worker, p_claim_seq);
    return query
        with taken as (
            update taskwright.job t set
                state = 5, line = null, lane = n.lane, rank = n.rank, attempt = t.attempt + 1, epoch = p_epoch,
                worker = p_worker, started_at = p_now, claim_seq = p_claim_seq,
                deadline = p_now + t.timeout_ms * 1000 + p_grace
            from unnest(p_seq, p_lane, p_rank) n(seq, lane, rank) where t.seq = n.seq
            returning t.seq, t.id, t.lane, t.attempt, t.epoch, t.failures, t.max_attempts,
                      t.timeout_ms, t.priority, t.created_at, t.run_at, t.started_at, t.rank,
                      t.checkpoint, t.extras, t.args
        )
        select * from taken t order by t.rank, t.seq;
end $$;

-- Counts jobs that go from where they are to these lanes and states.
create function taskwright.count_moved(p_seq bigint[], p_lane integer[], p_state smallint[])
returns void
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    insert into taskwright.tally (lane, state, delta)
    select lane, state, sum(delta) from (
        select j.lane, j.state, -1 as delta
        from unnest(p_seq) s(seq), lateral (
            select j.lane, j.state from taskwright.job j where j.seq = s.seq limit 1) j
        union all
        select lane, state, 1 from unnest(p_lane, p_state) n(lane, state)) changes
    group by lane, state having sum(delta) <> 0;
end $$;

-- Notes what rates have used, when lines have more room by time (null: never), which are to be served
-- later, and whose turn it is.
create function taskwright.close_desk(
    p_namespace integer, p_used bigint[], p_arrival bigint[], p_timed bigint[], p_at bigint[],
    p_later bigint[], p_turned bigint[], p_clock bigint[], p_turn bigint[]
) returns void
language plpgsql set enable_seqscan = off set jit = off as $$
begin
    insert into taskwright.arrival as a (namespace, number, at)
    select p_namespace, u.number, u.at from unnest(p_used, p_arrival) u(number, at)
    on conflict (number, namespace) do update set at = excluded.at;
    delete from taskwright.line_timer t using unnest(p_timed, p_at) n(number, at)
    where t.number = n.number and t.namespace = p_namespace and n.at is null;
    insert into taskwright.line_timer as t (namespace, number, at)
    select p_namespace, n.number, n.at from unnest(p_timed, p_at) n(number, at)
    where n.at is not null
    on conflict (number, namespace) do update set at = excluded.at;
    insert into taskwright.line_note (namespace, number)
    select p_namespace, l.number from unnest(p_later) l(number);
    perform taskwright.note_turns(p_namespace, p_turned, p_clock, p_turn) where cardinality(p_turned) > 0;
end $$;

-- Lines that have more room by time alone are to be served. Answers the namespaces that have any.
create function taskwright.call_lines(p_now bigint, p_limit integer)
returns table (namespace integer)
language plpgsql set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
    v_now bigint := taskwright.time_of(p_now);
begin
    with due as (
        delete from taskwright.line_timer t where t.ctid = any(array(
            select o.ctid from taskwright.line_timer o where o.at <= v_now
            order by o.at limit p_limit for update skip locked))
        returning t.namespace, t.number
    )
    insert into taskwright.line_note (namespace, number) select d.namespace, d.number from due d;
    return query select m.namespace from taskwright.limits m
        where exists (select from taskwright.line_note n where n.namespace = m.namespace)
        order by m.namespace;
end $$;

-- Forgets what rates have used until now and turns that are over; and some lines, behind the one of this number, are to be
-- served for no reason: if a note is missing, they wait no longer than until then. Answers the number
-- to go on from; null at the end.
create function taskwright.tidy_lines(p_now bigint, p_after bigint, p_limit integer) returns bigint
language plpgsql set enable_seqscan = off set jit = off as $$
declare
    v_last  bigint;
    v_count bigint;
begin
    delete from taskwright.arrival a where a.ctid = any(array(
        select o.ctid from taskwright.arrival o where o.at <= p_now
        order by o.at limit 10000 for update skip locked));
    perform taskwright.forget_turns(10000);
    with called as (
        insert into taskwright.line_note (namespace, number)
        select l.namespace, l.number from taskwright.lines_after(p_after, p_limit) l
        returning number
    )
    select max(number), count(*) into v_last, v_count from called;
    return case when v_count = p_limit then v_last end;
end $$;
