-- Makes a worker known and grants it a lease. Called often, writes seldom: a row that is updated
-- with every call would grow slow to find while somebody holds an old snapshot. So the time that it
-- was last heard of is kept to `p_coarse` microseconds.
create function taskwright.greet(
    p_namespace integer, p_worker uuid, p_epoch integer, p_in_process boolean, p_info text,
    p_lease bigint, p_now bigint, p_coarse bigint, p_profile text default null
) returns void
language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    v_served bigint := (select served from taskwright.meta where one);
    v_known  taskwright.worker%rowtype;
begin
    select * into v_known from taskwright.worker w
    where w.id = p_worker and w.namespace = p_namespace;
    if not found then
        insert into taskwright.worker as w values
            (p_namespace, p_worker, p_epoch, coalesce(p_in_process, false), p_now, p_now,
             v_served + p_lease, p_info, p_profile)
        on conflict (id, namespace) do update
            set last_seen_at = p_now, lease_end = v_served + p_lease;
    elsif v_known.lease_end <> v_served + p_lease or v_known.last_seen_at + p_coarse <= p_now
            or v_known.info is distinct from coalesce(p_info, v_known.info)
            or v_known.profile is distinct from coalesce(p_profile, v_known.profile)
            or v_known.in_process <> coalesce(p_in_process, v_known.in_process) then
        update taskwright.worker w set
            lease_end = v_served + p_lease, last_seen_at = greatest(w.last_seen_at, p_now),
            epoch = case when coalesce(p_in_process, false) then p_epoch else w.epoch end,
            in_process = coalesce(p_in_process, w.in_process), info = coalesce(p_info, w.info),
            profile = coalesce(p_profile, w.profile)
        where w.id = p_worker and w.namespace = p_namespace;
        if not found then
            insert into taskwright.worker values
                (p_namespace, p_worker, p_epoch, coalesce(p_in_process, false), p_now, p_now,
                 v_served + p_lease, p_info, p_profile)
            on conflict do nothing;
        end if;
    end if;
end $$;

-- How many jobs of each lane are among the `p_max` with the smallest ranks of all of them, and among
-- those at most `p_suspects` (0 or 1) of lanes of kind 2.
--
-- It looks at a slice of each lane. What is beyond the end of one that goes on may come before the
-- jobs of others behind that end: so the slices are enough if `p_max` jobs lie before the first such
-- end. Else those lanes are looked at further.
create function taskwright.quotas(
    p_lanes integer[], p_kinds smallint[], p_from bigint[], p_suspects integer, p_max integer,
    p_now bigint
) returns integer[]
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
    -- Twice the share of each lane, should all have as many.
    v_slice  integer := least(p_max, 2::bigint * p_max / cardinality(p_lanes) + 10);
    v_quota  integer[];
    v_enough boolean;
    v_long   bigint;
begin
    loop
        with looked as (
            select l.ord, l.kind, j.rank, j.seq
            from unnest(p_lanes, p_kinds, p_from) with ordinality as l(lane, kind, floor, ord),
                 lateral (
                     select j.rank, j.seq from taskwright.job j
                     where j.lane = l.lane and j.state = 1 and j.rank >= l.floor
                       and (j.expires_at is null or j.expires_at > p_now or j.max_losses is not null)
                     order by j.rank, j.seq
                     limit case when l.kind = 2 then p_suspects else v_slice end) j
        ), ends as (
            select count(*) as lanes, min(rank) as rank
            from (select max(rank) as rank from looked where kind <> 2
                  group by ord having count(*) = v_slice) e
        ), best as (
            select ord, rank from looked
            where kind <> 2 or seq = (select s.seq from looked s where s.kind = 2
                                      order by s.rank, s.seq limit 1)
            order by rank, seq limit p_max
        )
        select (select array_agg(coalesce(b.amount, 0) order by o.ord)
                from generate_subscripts(p_lanes, 1) o(ord)
                left join (select ord, count(*)::integer as amount from best group by ord) b
                    on b.ord = o.ord),
               e.lanes = 0 or v_slice >= p_max
                   or (select count(*) from best where best.rank < e.rank) >= p_max,
               e.lanes
        into v_quota, v_enough, v_long from ends e;
        exit when v_enough;
        v_slice := least(p_max, greatest(4::bigint * v_slice, 3::bigint * p_max / v_long));
    end loop;
    return v_quota;
end $$;

-- How many slots each job of these lanes takes: those that require `p_matching` take `p_costs`.
create function taskwright.costs_of(p_lanes integer[], p_matching integer[], p_costs integer[])
returns integer[]
language sql stable as $$
    select array_agg(coalesce(p_costs[array_position(p_matching, l.requirement)], 1) order by w.ord)
    from unnest(p_lanes) with ordinality w(number, ord)
    join taskwright.lane l on l.number = w.number;
$$;

-- How many slots the jobs take that a worker runs. What a job takes it requires (`slots>=4`).
create function taskwright.slots_taken(p_namespace integer, p_worker uuid) returns bigint
language sql stable as $$
    select coalesce(sum(coalesce(substring(r.text from '(?:^|,)slots>=([0-9]+)(?:,|$)')::bigint, 1)), 0)
        ::bigint
    from taskwright.job j
    join taskwright.lane l on l.number = j.lane
    left join taskwright.requirement r on r.number = l.requirement
    where j.worker = p_worker and j.state = 5 and j.namespace = p_namespace;
$$;

-- Of these quotas what fits into `p_max` slots, where each job of a lane takes `p_costs` of them: the
-- jobs with the smallest ranks, up to the first that takes more than is left. One element more says
-- whether there was such a one (1).
create function taskwright.fitting(
    p_lanes integer[], p_from bigint[], p_quota integer[], p_costs integer[], p_max integer,
    p_now bigint
) returns integer[]
language sql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
    with looked as (
        select l.ord, l.cost, j.rank, j.seq
        from unnest(p_lanes, p_from, p_quota, p_costs) with ordinality
                 as l(lane, floor, quota, cost, ord),
             lateral (
                 select j.rank, j.seq from taskwright.job j
                 where j.lane = l.lane and j.state = 1 and j.rank >= l.floor
                   and (j.expires_at is null or j.expires_at > p_now or j.max_losses is not null)
                 order by j.rank, j.seq limit least(l.quota, p_max / l.cost + 1)) j
        where l.quota > 0
    ), summed as (
        select ord, sum(cost) over (order by rank, seq) <= p_max as fits from looked
    )
    select array(select count(*) filter (where s.fits and s.ord = o.ord)::integer
                 from generate_subscripts(p_lanes, 1) o(ord) left join summed s on s.ord = o.ord
                 group by o.ord order by o.ord)
        || (exists (select from summed where not fits))::integer;
$$;

-- The jobs that a claim gives, in no order. Where the number of the claim is too low, one row with seq
-- −1 and the last number as rank; where something in the namespace is limited, one with seq −2: then
-- Rust decides what may start (limits.sql).
--
-- It gives jobs whose requirement is among `p_matching`, or that have none. Where the worker serves a
-- lane whose requirement has a number above `p_known`, nobody has looked yet whether its labels match:
-- then one row with seq −3, and nothing was given.
--
-- Jobs of the lanes that require `p_matching` take `p_costs` slots each, and others one; null: all of
-- them one. If the first job takes more than `p_max`, one row with seq −4, and nothing was given.
--
-- Where several lanes have candidates, they are first looked at without locks, to know how many of
-- each lane to take (`quotas`); then just as many are locked and taken.
create function taskwright.claim(
    p_now bigint, p_namespace integer, p_queues text[], p_tasks text[], p_worker uuid,
    p_epoch integer, p_in_process boolean, p_claim_seq bigint, p_max integer, p_lease bigint,
    p_grace bigint, p_floor_lanes integer[], p_floors bigint[], p_matching integer[],
    p_known integer, p_profile text, p_costs integer[]
) returns table (
    seq bigint, id uuid, lane integer, attempt integer, epoch integer, failures integer,
    max_attempts integer, timeout_ms bigint, priority smallint, created_at bigint, run_at bigint,
    started_at bigint, rank bigint, checkpoint text, extras text, args text
)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_now   bigint := taskwright.time_of(p_now);
    v_last  bigint;
    v_lanes integer[];
    v_kinds smallint[];
    v_from  bigint[];
    v_quota integer[];
    v_unknown boolean;
    v_suspects integer;
    v_costs integer[];
    v_over  boolean;
    v_rows  tid[];
begin
    perform taskwright.greet(p_namespace, p_worker, p_epoch, p_in_process, null, p_lease, v_now,
                             case when p_now is null then 250000 else 1 end, p_profile);
    select c.claim_seq into v_last from taskwright.claim_log c
    where c.worker = p_worker and c.namespace = p_namespace order by c.claim_seq desc limit 1;
    if p_claim_seq = 0 or p_claim_seq < v_last then
        return query select -1::bigint, null::uuid, null::integer, null::integer, null::integer,
            null::integer, null::integer, null::bigint, null::smallint, null::bigint, null::bigint,
            null::bigint, coalesce(v_last, 0), null::text, null::text, null::text;
        return;
    elsif p_claim_seq = v_last then
        return query
            select j.seq, j.id, j.lane, j.attempt, j.epoch, j.failures, j.max_attempts, j.timeout_ms,
                   j.priority, j.created_at, j.run_at, j.started_at, j.rank, j.checkpoint, j.extras,
                   j.args
            from taskwright.job j
            where j.worker = p_worker and j.state = 5 and j.namespace = p_namespace
              and j.claim_seq = p_claim_seq
            order by j.rank, j.seq;
        return;
    elsif p_max > 0 and taskwright.pass_limits(p_namespace) then
        return query select -2::bigint, null::uuid, null::integer, null::integer, null::integer,
            null::integer, null::integer, null::bigint, null::smallint, null::bigint, null::bigint,
            null::bigint, 0::bigint, null::text, null::text, null::text;
        return;
    end if;

    select array_agg(l.number), array_agg(l.kind), array_agg(coalesce(f.floor, -9223372036854775808)),
           bool_or(l.requirement > p_known)
    into v_lanes, v_kinds, v_from, v_unknown
    from taskwright.lane l
    left join unnest(p_floor_lanes, p_floors) f(lane, floor) on f.lane = l.number
    where l.namespace = p_namespace and l.queue = any(p_queues) and l.is_open
      and (p_tasks is null or l.task = any(p_tasks))
      and (l.requirement = 0 or l.requirement = any(p_matching) or l.requirement > p_known)
      and not exists (select from taskwright.queue q where q.namespace = p_namespace
                      and q.queue = l.queue and q.paused);
    if v_lanes is null or p_max = 0 then
        return;
    elsif v_unknown then
        return query select -3::bigint, null::uuid, null::integer, null::integer, null::integer,
            null::integer, null::integer, null::bigint, null::smallint, null::bigint, null::bigint,
            null::bigint, 0::bigint, null::text, null::text, null::text;
        return;
    end if;

    v_suspects := 0;
    if 2 = any(v_kinds) then
        v_suspects := case when exists (
            select from taskwright.job j join taskwright.lane l on l.number = j.lane
            where j.worker = p_worker and j.state = 5 and j.namespace = p_namespace and l.kind = 2)
            then 0 else 1 end;
    end if;

    if cardinality(v_lanes) = 1 then
        v_quota := array[case when v_kinds[1] = 2 then v_suspects else p_max end];
    else
        v_quota := taskwright.quotas(v_lanes, v_kinds, v_from, v_suspects, p_max, v_now);
    end if;
    if p_costs is not null then
        v_costs := taskwright.costs_of(v_lanes, p_matching, p_costs);
        if 1 < any(v_costs) then
            v_quota := taskwright.fitting(v_lanes, v_from, v_quota, v_costs, p_max, v_now);
            v_over := v_quota[cardinality(v_lanes) + 1] = 1;
            v_quota := v_quota[1:cardinality(v_lanes)];
        end if;
    end if;

    -- First only places are collected: so the jobs themselves go out without being kept in between.
    with found as materialized (
        select x.ctid as place, l.lane
        from unnest(v_lanes, v_from, v_quota) as l(lane, floor, quota),
             lateral (
                 select j.ctid from taskwright.job j
                 where j.lane = l.lane and j.state = 1 and j.rank >= l.floor
                   and (j.expires_at is null or j.expires_at > v_now or j.max_losses is not null)
                 order by j.rank, j.seq limit l.quota for update skip locked) x
        where l.quota > 0
    ), counted as (
        insert into taskwright.tally (lane, state, delta)
        select lane, s, case s when 1 then -amount else amount end
        from (select lane, count(*) as amount from found group by lane) by_lane,
             unnest(array[1, 5]::smallint[]) s
    ), logged as (
        insert into taskwright.claim_log
        select p_namespace, p_worker, p_claim_seq where exists (select from found)
    )
    select array_agg(place) into v_rows from found;
    if v_rows is null then
        if v_over then
            return query select -4::bigint, null::uuid, null::integer, null::integer, null::integer,
                null::integer, null::integer, null::bigint, null::smallint, null::bigint, null::bigint,
                null::bigint, 0::bigint, null::text, null::text, null::text;
        end if;
        return;
    end if;
    return query
        update taskwright.job t set
            state = 5, attempt = t.attempt + 1, epoch = p_epoch, worker = p_worker,
            started_at = v_now, claim_seq = p_claim_seq,
            deadline = v_now + t.timeout_ms * 1000 + p_grace
        where t.ctid = any(v_rows)
        returning t.seq, t.id, t.lane, t.attempt, t.epoch, t.failures, t.max_attempts, t.timeout_ms,
                  t.priority, t.created_at, t.run_at, t.started_at, t.rank, t.checkpoint, t.extras,
                  t.args;
end $$;

-- Small claims of several workers that serve the same, as one: what there is goes to them one after
-- the other. One row with seq −1 where a claim is no new one, some lane has suspects, a requirement
-- that is not known or jobs that take more than one slot, or something in the namespace is limited:
-- then each has to claim for itself, and nothing was given.
create function taskwright.claim_together(
    p_now bigint, p_namespace integer, p_queues text[], p_tasks text[], p_worker uuid[],
    p_epoch integer, p_in_process boolean, p_claim_seq bigint[], p_max integer[], p_lease bigint,
    p_grace bigint, p_floor_lanes integer[], p_floors bigint[], p_matching integer[],
    p_known integer, p_profile text, p_costs integer[]
) returns table (
    worker uuid, seq bigint, id uuid, lane integer, attempt integer, epoch integer, failures integer,
    max_attempts integer, timeout_ms bigint, priority smallint, created_at bigint, run_at bigint,
    started_at bigint, rank bigint, checkpoint text, extras text, args text
)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_now   bigint := taskwright.time_of(p_now);
    v_lanes integer[];
    v_kinds smallint[];
    v_from  bigint[];
    v_quota integer[];
    v_unknown boolean;
    v_max   integer := (select sum(m) from unnest(p_max) m);
    v_rows  tid[];
begin
    for i in 1 .. cardinality(p_worker) loop
        perform taskwright.greet(p_namespace, p_worker[i], p_epoch, p_in_process, null, p_lease, v_now,
                                 case when p_now is null then 250000 else 1 end, p_profile);
    end loop;
    select array_agg(l.number), array_agg(l.kind), array_agg(coalesce(f.floor, -9223372036854775808)),
           bool_or(l.requirement > p_known)
    into v_lanes, v_kinds, v_from, v_unknown
    from taskwright.lane l
    left join unnest(p_floor_lanes, p_floors) f(lane, floor) on f.lane = l.number
    where l.namespace = p_namespace and l.queue = any(p_queues) and l.is_open
      and (p_tasks is null or l.task = any(p_tasks))
      and (l.requirement = 0 or l.requirement = any(p_matching) or l.requirement > p_known)
      and not exists (select from taskwright.queue q where q.namespace = p_namespace
                      and q.queue = l.queue and q.paused);
    if v_unknown or 2 = any(v_kinds) or taskwright.pass_limits(p_namespace)
            or p_costs is not null and 1 < any(taskwright.costs_of(v_lanes, p_matching, p_costs))
            or exists (
            select from unnest(p_worker, p_claim_seq) w(worker, claim_seq)
            where w.claim_seq <= coalesce((
                select c.claim_seq from taskwright.claim_log c
                where c.worker = w.worker and c.namespace = p_namespace
                order by c.claim_seq desc limit 1), 0)) then
        return query select null::uuid, -1::bigint, null::uuid, null::integer, null::integer,
            null::integer, null::integer, null::integer, null::bigint, null::smallint, null::bigint,
            null::bigint, null::bigint, 0::bigint, null::text, null::text, null::text;
        return;
    elsif v_lanes is null or v_max = 0 then
        return;
    end if;

    v_quota := case when cardinality(v_lanes) = 1 then array[v_max]
                    else taskwright.quotas(v_lanes, v_kinds, v_from, 0, v_max, v_now) end;
    v_rows := array(
        select x.ctid
        from unnest(v_lanes, v_from, v_quota) as l(lane, floor, quota),
             lateral (
                 select j.ctid, j.rank, j.seq from taskwright.job j
                 where j.lane = l.lane and j.state = 1 and j.rank >= l.floor
                   and (j.expires_at is null or j.expires_at > v_now or j.max_losses is not null)
                 order by j.rank, j.seq limit l.quota for update skip locked) x
        where l.quota > 0 order by x.rank, x.seq);
    if cardinality(v_rows) = 0 then
        return;
    end if;
    return query
        with slot as (
            select w.worker, w.claim_seq, row_number() over (order by w.ord) as place
            from unnest(p_worker, p_claim_seq, p_max) with ordinality
                     as w(worker, claim_seq, amount, ord),
                 generate_series(1, w.amount)
        ), given as (
            select r.row, s.worker, s.claim_seq
            from unnest(v_rows) with ordinality as r(row, place) join slot s on s.place = r.place
        ), taken as (
            update taskwright.job t set
                state = 5, attempt = t.attempt + 1, epoch = p_epoch, worker = g.worker,
                started_at = v_now, claim_seq = g.claim_seq,
                deadline = v_now + t.timeout_ms * 1000 + p_grace
            from given g where t.ctid = g.row
            returning t.worker, t.seq, t.id, t.lane, t.attempt, t.epoch, t.failures, t.max_attempts,
                      t.timeout_ms, t.priority, t.created_at, t.run_at, t.started_at, t.rank,
                      t.checkpoint, t.extras, t.args, t.claim_seq
        ), counted as (
            insert into taskwright.tally (lane, state, delta)
            select lane, s, case s when 1 then -amount else amount end
            from (select lane, count(*) as amount from taken group by lane) by_lane,
                 unnest(array[1, 5]::smallint[]) s
        ), logged as (
            insert into taskwright.claim_log
            select distinct p_namespace, t.worker, t.claim_seq from taken t
        )
        select t.worker, t.seq, t.id, t.lane, t.attempt, t.epoch, t.failures, t.max_attempts,
               t.timeout_ms, t.priority, t.created_at, t.run_at, t.started_at, t.rank, t.checkpoint,
               t.extras, t.args
        from taken t order by t.rank, t.seq;
end $$;

-- Renews a lease. Answers what the worker should know or must be looked at: running jobs of it that
-- claims up to `p_settled` gave and that it does not hold (0), jobs that it holds and that are not
-- its own any more (1), and its jobs that should stop (2).
create function taskwright.heartbeat(
    p_now bigint, p_namespace integer, p_worker uuid, p_epoch integer, p_info text, p_lease bigint,
    p_settled bigint, p_seq bigint[], p_id uuid[], p_token_epoch integer[], p_attempt integer[]
) returns table (what smallint, seq bigint, id uuid, epoch integer, attempt integer,
                 cancel_requested boolean, started_at bigint, notes text, now bigint)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_now bigint := taskwright.time_of(p_now);
begin
    perform taskwright.greet(p_namespace, p_worker, p_epoch, null, p_info, p_lease, v_now,
                             case when p_now is null then 250000 else 1 end);
    delete from taskwright.claim_log c
    where c.worker = p_worker and c.namespace = p_namespace
      and c.claim_seq < least(p_settled, (
          select max(l.claim_seq) from taskwright.claim_log l
          where l.worker = p_worker and l.namespace = p_namespace));
    return query
        with own as materialized (
            select j.seq, j.id, j.epoch, j.attempt, j.claim_seq, j.cancel_requested, j.started_at,
                   j.timeout_ms, j.notes
            from taskwright.job j
            where j.worker = p_worker and j.state = 5 and j.namespace = p_namespace
        ), held as (
            select * from unnest(p_seq, p_id, p_token_epoch, p_attempt) h(seq, id, epoch, attempt)
        )
        select 0::smallint, o.seq, o.id, o.epoch, o.attempt, null::boolean, null::bigint, null::text,
               v_now
        from own o
        where o.claim_seq <= p_settled and not exists (
            select from held h where h.seq = o.seq and h.id = o.id and h.epoch = o.epoch
                                 and h.attempt = o.attempt)
        union all
        select 1::smallint, h.seq, h.id, h.epoch, h.attempt, null, null, null, v_now
        from held h
        where not exists (
            select from own o where o.seq = h.seq and o.id = h.id and o.epoch = h.epoch
                                and o.attempt = h.attempt)
        union all
        select 2::smallint, o.seq, o.id, o.epoch, o.attempt, o.cancel_requested, o.started_at,
               o.notes, v_now
        from own o
        where o.cancel_requested or o.started_at + o.timeout_ms * 1000 <= v_now;
end $$;
