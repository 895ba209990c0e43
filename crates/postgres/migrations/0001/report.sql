-- Ends attempts that completed, where the token is the current one. Answers those that it ended.
-- `state + 0`: so that rows are found by `seq`, never through the index of running jobs, which looks
-- cheap to the planner while most jobs are in another state.
create function taskwright.complete(
    p_now bigint, p_namespace integer, p_seq bigint[], p_id uuid[], p_epoch integer[],
    p_attempt integer[], p_result text[]
) returns table (seq bigint, lane integer)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_now     bigint := taskwright.time_of(p_now);
    v_bucket  integer := (select bucket from taskwright.meta where one);
    v_rows    tid[];
    v_seqs    bigint[];
    v_lanes   integer[];
    v_keyed   boolean;
    v_with    bigint[];
    v_results text[];
begin
    -- First only what tells the jobs is collected: so the jobs themselves are copied once.
    select array_agg(x.ctid), array_agg(x.seq), array_agg(x.lane), bool_or(x.keyed),
           array_agg(x.seq) filter (where r.result is not null),
           array_agg(r.result) filter (where r.result is not null)
    into v_rows, v_seqs, v_lanes, v_keyed, v_with, v_results
    from unnest(p_seq, p_id, p_epoch, p_attempt, p_result) as r(seq, id, epoch, attempt, result),
         lateral (
             select j.ctid, j.seq, j.lane, j.keys is not null as keyed from taskwright.job j
             where j.seq = r.seq and j.id = r.id and j.namespace = p_namespace
               and j.state + 0 = 5 and j.epoch = r.epoch and j.attempt = r.attempt
             limit 1 for update) x;
    if v_rows is null then
        return;
    end if;
    if v_keyed and taskwright.is_limited(p_namespace) then
        insert into taskwright.line_note (namespace, number, is_end)
        select distinct p_namespace, k.number, true
        from taskwright.job j, unnest(j.keys) k(number) where j.ctid = any(v_rows);
    end if;
    with kept as (
        insert into taskwright.ended
        select j.seq, j.id, j.namespace, j.lane, 6, j.priority, j.attempt, j.max_attempts, j.rank,
               j.run_at, j.created_at, j.timeout_ms, j.expires_at, j.unique_key, j.unique_until,
               j.keys, null, j.allowance, j.worker, j.epoch, null, j.started_at, null, j.failures,
               j.losses, j.released, j.snoozed, j.max_losses, j.cancel_requested, j.epoch, j.attempt,
               0, null, null, v_now,
               octet_length(j.args) + coalesce(octet_length(r.result), 0)
                   + coalesce(octet_length(j.checkpoint), 0) + coalesce(octet_length(j.notes), 0),
               j.extras, j.notes, null, j.checkpoint, r.result, j.args, v_bucket
        from taskwright.job j left join unnest(v_with, v_results) r(seq, result) on r.seq = j.seq
        where j.ctid = any(v_rows)
        returning lane, weight
    )
    insert into taskwright.tally (lane, state, delta)
    select lane, s, case s when 5 then -amount when 6 then amount else bytes end
    from (select lane, count(*) as amount, sum(weight)::bigint as bytes from kept group by lane) by_lane,
         unnest(array[5, 6, 100]::smallint[]) s;
    delete from taskwright.job where ctid = any(v_rows);
    return query select unnest(v_seqs), unnest(v_lanes);
end $$;

-- Writes what changed in jobs whose rows the caller has locked in `job`, and moves those that ended.
-- TW004: a lane was given back.
create function taskwright.save_jobs(
    p_seq bigint[], p_lane integer[], p_state smallint[], p_rank bigint[], p_run_at bigint[],
    p_max_attempts integer[], p_allowance integer[], p_failures integer[], p_losses integer[],
    p_released integer[], p_snoozed integer[], p_max_losses integer[], p_cancel boolean[],
    p_last_epoch integer[], p_last_attempt integer[], p_last_verdict smallint[], p_last_nonce bigint[],
    p_cause smallint[],
    p_finished_at bigint[], p_notes text[], p_progress text[], p_checkpoint text[], p_result text[],
    p_line bigint[]
) returns void
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_bucket integer := (select bucket from taskwright.meta where one);
begin
    if 5 > any(p_state) then
        perform taskwright.enter_lanes(array(
            select lane from unnest(p_lane, p_state) n(lane, state) where state < 5), true);
    end if;
    insert into taskwright.tally (lane, state, delta)
    select lane, state, sum(delta) from (
        select j.lane, j.state, -1 as delta
        from unnest(p_seq) s(seq), lateral (
            select j.lane, j.state from taskwright.job j where j.seq = s.seq limit 1) j
        union all
        select lane, state, 1 from unnest(p_lane, p_state) n(lane, state)) changes
    group by lane, state having sum(delta) <> 0;

    update taskwright.job j set
        lane = n.lane, state = n.state, rank = n.rank, run_at = n.run_at,
        max_attempts = n.max_attempts, allowance = n.allowance, failures = n.failures,
        losses = n.losses, released = n.released, snoozed = n.snoozed, max_losses = n.max_losses,
        cancel_requested = n.cancel, last_epoch = n.last_epoch, last_attempt = n.last_attempt,
        last_verdict = n.last_verdict, last_nonce = n.last_nonce, cause = n.cause, finished_at = n.finished_at,
        notes = n.notes, progress = n.progress, checkpoint = n.checkpoint, result = n.result,
        line = n.line
    from unnest(p_seq, p_lane, p_state, p_rank, p_run_at, p_max_attempts, p_allowance, p_failures,
                p_losses, p_released, p_snoozed, p_max_losses, p_cancel, p_last_epoch,
                p_last_attempt, p_last_verdict, p_last_nonce, p_cause, p_finished_at, p_notes, p_progress,
                p_checkpoint, p_result, p_line)
        as n(seq, lane, state, rank, run_at, max_attempts, allowance, failures, losses, released,
             snoozed, max_losses, cancel, last_epoch, last_attempt, last_verdict, last_nonce, cause,
             finished_at, notes, progress, checkpoint, result, line)
    where j.seq = n.seq;

    if exists (select from unnest(p_state) s where s >= 6) then
        with gone as (
            delete from taskwright.job j
            where j.seq = any(array(select seq from unnest(p_seq, p_state) n(seq, state)
                                    where state >= 6))
            returning j.*
        ), weighed as (
            select g.*, octet_length(g.args) + coalesce(octet_length(g.result), 0)
                + coalesce(octet_length(g.checkpoint), 0) + coalesce(octet_length(g.notes), 0) as bytes
            from gone g
        ), died as (
            insert into taskwright.dead
            select seq, id, namespace, lane, state, priority, attempt, max_attempts, rank, run_at,
                   created_at, timeout_ms, expires_at, unique_key, unique_until, keys, null, allowance,
                   worker, epoch, null, started_at, null, failures, losses, released, snoozed, max_losses, cancel_requested,
                   last_epoch, last_attempt, last_verdict, last_nonce, cause, finished_at, bytes,
                   extras, notes,
                   null, checkpoint, result, args
            from weighed where state = 7
        ), finished as (
            insert into taskwright.ended
            select seq, id, namespace, lane, state, priority, attempt, max_attempts, rank, run_at,
                   created_at, timeout_ms, expires_at, unique_key, unique_until, keys, null, allowance,
                   worker, epoch, null, started_at, null, failures, losses, released, snoozed, max_losses, cancel_requested,
                   last_epoch, last_attempt, last_verdict, last_nonce, cause, finished_at, bytes,
                   extras, notes,
                   null, checkpoint, result, args, v_bucket
            from weighed where state <> 7
        )
        insert into taskwright.tally (lane, state, delta)
        select lane, case state when 7 then 101 else 100 end, sum(bytes)
        from weighed group by 1, 2;
    end if;
end $$;

-- Locks jobs by id, wherever they are, in one order. Answers those that there are; `place` is 0 in
-- `job`, 1 in `dead`, 2 in `ended`.
create function taskwright.lock_jobs(p_namespace integer, p_id uuid[])
returns table (seq bigint, place smallint)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_seqs bigint[] := array(
        select k.seq from unnest(p_id) i(id), lateral (
            select k.seq from taskwright.ident k
            where k.id = i.id and k.namespace = p_namespace and k.finished_at is null limit 1) k
        order by k.seq);
begin
    return query select j.seq, 0::smallint from taskwright.job j
                 where j.seq = any(v_seqs) order by j.seq for update;
    return query select d.seq, 1::smallint from taskwright.dead d
                 where d.seq = any(v_seqs) order by d.seq for update;
    return query select e.seq, 2::smallint from taskwright.ended e
                 where e.seq = any(v_seqs) order by e.seq for update;
end $$;

-- Moves an ended job back among the live ones, as it is; the caller has locked it.
create function taskwright.revive(p_seq bigint[]) returns void
language plpgsql set enable_seqscan = off set jit = off as $$
begin
    with risen as (
        delete from taskwright.dead d where d.seq = any(p_seq) returning d.*
    ), counted as (
        insert into taskwright.tally (lane, state, delta)
        select lane, 101, -sum(weight) from risen group by lane
    )
    insert into taskwright.job select * from risen;
    with risen as (
        delete from taskwright.ended e where e.seq = any(p_seq) returning e.*
    ), counted as (
        insert into taskwright.tally (lane, state, delta)
        select lane, 100, -sum(weight) from risen group by lane
    )
    insert into taskwright.job
    select seq, id, namespace, lane, state, priority, attempt, max_attempts, rank, run_at, created_at,
           timeout_ms, expires_at, unique_key, unique_until, keys, line, allowance, worker, epoch,
           claim_seq, started_at, deadline, failures, losses, released, snoozed, max_losses, cancel_requested, last_epoch,
           last_attempt, last_verdict, last_nonce, cause, finished_at, weight, extras, notes, progress,
           checkpoint, result, args
    from risen;
end $$;

-- Deletes ended jobs; their ids stay known until `p_window` after their end. The lines `p_line` are to be
-- served then, where dead ones kept others back.
create function taskwright.forget(
    p_seq bigint[], p_now bigint, p_window bigint, p_namespace integer[], p_line bigint[]
) returns bigint
language plpgsql set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
    v_count bigint;
begin
    with gone as (
        delete from taskwright.dead d where d.seq = any(p_seq)
        returning d.seq, d.id, d.namespace, d.lane, d.state, d.finished_at, d.weight,
                  d.unique_key, d.unique_until
    ), left_over as (
        delete from taskwright.ended e where e.seq = any(p_seq)
        returning e.seq, e.id, e.namespace, e.lane, e.state, e.finished_at, e.weight,
                  e.unique_key, e.unique_until
    ), everything as (
        select * from gone union all select * from left_over
    ), counted as (
        insert into taskwright.tally (lane, state, delta)
        select lane, state, -count(*) from everything group by lane, state
        union all
        select lane, case state when 7 then 101 else 100 end, -sum(weight)
        from everything group by 1, 2
    ), forgotten as (
        delete from taskwright.ident k using everything e
        where k.id = e.id and k.namespace = e.namespace and e.finished_at + p_window <= p_now
    ), remembered as (
        update taskwright.ident k set state = e.state, finished_at = e.finished_at
        from everything e
        where k.id = e.id and k.namespace = e.namespace and e.finished_at + p_window > p_now
    ), freed as (
        delete from taskwright.hold h using everything e
        where e.unique_until = 2 and h.key = e.unique_key and h.namespace = e.namespace
          and h.seq = e.seq
    )
    select count(*) into v_count from everything;
    insert into taskwright.line_note (namespace, number)
    select l.namespace, l.number from unnest(p_namespace, p_line) l(namespace, number);
    return v_count;
end $$;
