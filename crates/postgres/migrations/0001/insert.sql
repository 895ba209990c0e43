-- What is known of some ids: the number of the job, whether the fingerprint is another, its state.
create function taskwright.known_jobs(p_namespace integer[], p_id uuid[], p_fingerprint bigint[])
returns table (ord bigint, seq bigint, conflict boolean, state smallint)
language sql stable as $$
    select i.ord, k.seq, k.fingerprint <> i.fingerprint,
           coalesce(k.state,
                    (select j.state from taskwright.job j where j.seq = k.seq),
                    (select d.state from taskwright.dead d where d.seq = k.seq),
                    (select e.state from taskwright.ended e where e.seq = k.seq))
    from unnest(p_namespace, p_id, p_fingerprint) with ordinality as i(namespace, id, fingerprint, ord)
    join taskwright.ident k on k.id = i.id and k.namespace = i.namespace
    order by i.ord;
$$;

-- Writes jobs; a null `run_at` is now. Answers for each its number, what became of it (0 new,
-- 1 known, 2 conflict), and of a known one the state. Where `p_partial` is false and there is a
-- conflict, nothing is written and the error TW001 is raised. TW003: an id was known until a moment
-- ago; forget it and call again. TW004: a lane was given back.
-- `p_unique_key` is null where no job has a unique key. Else the caller has looked, and all ids must
-- be new and all keys free still: TW005 where they are not; look again.
-- `p_keys` is null where no job has a group or limit keys. Else it has their numbers, as arrays in text,
-- `p_line` the line of a job that is due now, and the policies of these namespaces must be those of these
-- versions: TW006 where they are not; read them again.
-- `p_bound_queue` is null where the caller knows of no queue that lets only so many jobs wait: TW007
-- where there is one. Else there are so many more of these to be: TW008 where they may not wait. Where
-- it is empty, they may wait anyway.
create function taskwright.insert_jobs(
    p_now bigint, p_partial boolean, p_aging bigint, p_window bigint, p_namespace integer[],
    p_id uuid[], p_lane integer[], p_fingerprint bigint[], p_priority smallint[], p_run_at bigint[],
    p_max_attempts integer[], p_timeout_ms bigint[], p_expires_at bigint[], p_extras text[],
    p_args text[], p_unique_key text[], p_unique_until smallint[], p_unique_for_ms bigint[],
    p_keys text[], p_line bigint[], p_limits integer[], p_version bigint[],
    p_bound_namespace integer[], p_bound_queue text[], p_bound_more bigint[], p_bound_most bigint[],
    p_tally_from bigint
) returns table (ord bigint, seq bigint, verdict smallint, state smallint)
language plpgsql set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_now   bigint;
    v_count integer := cardinality(p_id);
    v_seqs  bigint[] := array(select nextval('taskwright.job_seq') from generate_series(1, v_count));
    v_new   bigint;
    v_known bigint[];
begin
    -- The time after that, which may wait: floors rely on ranks that are no older (floors.rs).
    perform taskwright.enter_fresh(p_lane, p_bound_queue is not null);
    if p_limits is not null then
        perform taskwright.check_limits(p_limits, p_version);
    end if;
    if cardinality(p_bound_queue) > 0 then
        perform taskwright.hold_places(
            p_bound_namespace, p_bound_queue, p_bound_more, p_bound_most, p_tally_from);
    end if;
    v_now := taskwright.time_of(p_now);
    -- To look for conflicts first takes twice as long as to insert, and there hardly ever is one.
    begin
        insert into taskwright.ident (namespace, id, seq, fingerprint)
        select * from unnest(p_namespace, p_id, v_seqs, p_fingerprint);
        v_new := v_count;
    exception when unique_violation then
        insert into taskwright.ident (namespace, id, seq, fingerprint)
        select * from unnest(p_namespace, p_id, v_seqs, p_fingerprint)
        on conflict do nothing;
        get diagnostics v_new = row_count;
    end;
    if v_new < v_count then
        if exists (select from unnest(p_namespace, p_id) i(namespace, id)
                   join taskwright.ident k on k.id = i.id and k.namespace = i.namespace
                   where k.finished_at + p_window <= v_now) then
            raise exception 'an id is forgotten only now' using errcode = 'TW003';
        end if;
        if p_unique_key is not null then
            raise exception 'an id is known meanwhile' using errcode = 'TW005';
        end if;
        if not p_partial and exists (select from
                taskwright.known_jobs(p_namespace, p_id, p_fingerprint) k where k.conflict) then
            raise exception 'an id is taken by another job' using errcode = 'TW001';
        end if;
        v_known := array(
            select n.seq from unnest(p_namespace, p_id, v_seqs) n(namespace, id, seq)
            where not exists (select from taskwright.ident k
                              where k.id = n.id and k.namespace = n.namespace and k.seq = n.seq));
    end if;

    insert into taskwright.job (seq, id, namespace, lane, state, priority, max_attempts, rank,
                                run_at, created_at, timeout_ms, expires_at, unique_key,
                                unique_until, keys, line, extras, args)
    select n.seq, n.id, n.namespace, n.lane,
           case when n.run_at > v_now then 2 when n.line is not null then 3 else 1 end, n.priority, n.max_attempts,
           greatest(coalesce(n.run_at, v_now), v_now) - n.priority * p_aging,
           greatest(coalesce(n.run_at, v_now), v_now), v_now, n.timeout_ms, n.expires_at,
           n.unique_key, n.unique_until, n.keys::bigint[],
           case when n.run_at > v_now then null else n.line end, n.extras, n.args
    from unnest(v_seqs, p_namespace, p_id, p_lane, p_priority, p_run_at, p_max_attempts,
                p_timeout_ms, p_expires_at, p_unique_key, p_unique_until, p_keys, p_line, p_extras,
                p_args)
        as n(seq, namespace, id, lane, priority, run_at, max_attempts, timeout_ms, expires_at,
             unique_key, unique_until, keys, line, extras, args)
    where v_known is null or n.seq <> all(v_known);
    insert into taskwright.tally (lane, state, delta)
    select n.lane, case when n.run_at > v_now then 2 when n.line is not null then 3 else 1 end, count(*)
    from unnest(v_seqs, p_lane, p_run_at, p_line) n(seq, lane, run_at, line)
    where v_known is null or n.seq <> all(v_known)
    group by 1, 2;
    if p_keys is not null then
        perform taskwright.note_lines(n.namespace, array_agg(k.number))
        from unnest(v_seqs, p_namespace, p_keys) n(seq, namespace, keys),
             unnest(n.keys::bigint[]) k(number)
        where v_known is null or n.seq <> all(v_known)
        group by n.namespace;
    end if;

    if p_unique_key is not null then
        perform taskwright.take_keys(
            v_now, v_seqs, p_namespace, p_unique_key,
            array(select v_now + ms * 1000
                  from unnest(p_unique_for_ms) with ordinality as u(ms, ord) order by u.ord));
    end if;

    if v_known is null then
        return query select o, s, 0::smallint, null::smallint
                     from unnest(v_seqs) with ordinality as given(s, o);
        return;
    end if;
    return query
        select k.ord, k.seq,
               (case when k.seq = v_seqs[k.ord] then 0 when k.conflict then 2 else 1 end)::smallint,
               k.state
        from taskwright.known_jobs(p_namespace, p_id, p_fingerprint) k;
end $$;

-- The same for jobs that differ in nothing but id and args, and have no keys: most of all calls. Answers
-- their numbers. Null: an id is known, and nothing was written.
create function taskwright.insert_alike(
    p_now bigint, p_aging bigint, p_namespace integer, p_lane integer, p_priority smallint,
    p_run_at bigint, p_max_attempts integer, p_timeout_ms bigint, p_expires_at bigint,
    p_extras text, p_id uuid[], p_fingerprint bigint[], p_args text[]
) returns bigint[]
language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    v_now   bigint := taskwright.enter_lane(p_lane, p_now);
    v_due   bigint := greatest(coalesce(p_run_at, v_now), v_now);
    v_state smallint := case when v_due > v_now then 2 else 1 end;
    v_count integer := cardinality(p_id);
    v_seqs  bigint[] := array(select nextval('taskwright.job_seq') from generate_series(1, v_count));
begin
    begin
        insert into taskwright.ident (namespace, id, seq, fingerprint)
        select p_namespace, unnest(p_id), unnest(v_seqs), unnest(p_fingerprint);
    exception when unique_violation then
        return null;
    end;
    insert into taskwright.job (seq, id, namespace, lane, state, priority, max_attempts, rank,
                                run_at, created_at, timeout_ms, expires_at, extras, args)
    select unnest(v_seqs), unnest(p_id), p_namespace, p_lane, v_state, p_priority, p_max_attempts,
           v_due - p_priority * p_aging, v_due, v_now, p_timeout_ms, p_expires_at, p_extras,
           unnest(p_args);
    insert into taskwright.tally (lane, state, delta) values (p_lane, v_state, v_count);
    return v_seqs;
end $$;

-- The same for a single job. Null: the id is known, and nothing was written.
create function taskwright.insert_job(
    p_now bigint, p_aging bigint, p_namespace integer, p_id uuid, p_lane integer,
    p_fingerprint bigint, p_priority smallint, p_run_at bigint, p_max_attempts integer,
    p_timeout_ms bigint, p_expires_at bigint, p_extras text, p_args text
) returns bigint
language plpgsql as $$
declare
    v_now   bigint := taskwright.enter_lane(p_lane, p_now);
    v_due   bigint := greatest(coalesce(p_run_at, v_now), v_now);
    v_state smallint := case when v_due > v_now then 2 else 1 end;
    v_seq   bigint := nextval('taskwright.job_seq');
begin
    insert into taskwright.ident (namespace, id, seq, fingerprint)
    values (p_namespace, p_id, v_seq, p_fingerprint) on conflict do nothing;
    if not found then
        return null;
    end if;
    insert into taskwright.job (seq, id, namespace, lane, state, priority, max_attempts, rank,
                                run_at, created_at, timeout_ms, expires_at, extras, args)
    values (v_seq, p_id, p_namespace, p_lane, v_state, p_priority, p_max_attempts,
            v_due - p_priority * p_aging, v_due, v_now, p_timeout_ms, p_expires_at, p_extras, p_args);
    insert into taskwright.tally (lane, state, delta) values (p_lane, v_state, 1);
    return v_seq;
end $$;

-- Writes jobs of another store at place intake, for the caller to save as they are to be. Answers
-- the new ones. TW004: a lane was given back.
create function taskwright.adopt_jobs(
    p_namespace integer[], p_id uuid[], p_lane integer[], p_fingerprint bigint[],
    p_priority smallint[], p_attempt integer[], p_max_attempts integer[], p_run_at bigint[],
    p_created_at bigint[], p_timeout_ms bigint[], p_expires_at bigint[], p_worker uuid[],
    p_started_at bigint[], p_extras text[], p_args text[], p_unique_key text[],
    p_unique_until smallint[], p_keys text[]
) returns table (ord bigint, seq bigint)
language plpgsql as $$
#variable_conflict use_column
declare
    v_seqs bigint[] := array(
        select nextval('taskwright.job_seq') from generate_series(1, cardinality(p_id)));
begin
    perform taskwright.enter_lanes(p_lane, false);
    return query
        with given as (
            insert into taskwright.ident (namespace, id, seq, fingerprint)
            select * from unnest(p_namespace, p_id, v_seqs, p_fingerprint)
            on conflict do nothing returning seq
        ), written as (
            insert into taskwright.job (seq, id, namespace, lane, state, priority, attempt,
                                        max_attempts, rank, run_at, created_at, timeout_ms,
                                        expires_at, unique_key, unique_until, keys,
                                        worker, started_at, extras, args)
            select n.seq, n.id, n.namespace, n.lane, 4, n.priority, n.attempt, n.max_attempts, 0,
                   n.run_at, n.created_at, n.timeout_ms, n.expires_at, n.unique_key,
                   n.unique_until, n.keys::bigint[], n.worker, n.started_at, n.extras, n.args
            from unnest(v_seqs, p_namespace, p_id, p_lane, p_priority, p_attempt, p_max_attempts,
                        p_run_at, p_created_at, p_timeout_ms, p_expires_at, p_unique_key,
                        p_unique_until, p_keys, p_worker, p_started_at, p_extras, p_args)
                as n(seq, namespace, id, lane, priority, attempt, max_attempts, run_at, created_at,
                     timeout_ms, expires_at, unique_key, unique_until, keys, worker, started_at,
                     extras, args)
            where n.seq in (select seq from given)
            returning seq, lane
        ), counted as (
            insert into taskwright.tally (lane, state, delta)
            select lane, 4, count(*) from written group by lane
        )
        select s.ord, s.seq from unnest(v_seqs) with ordinality as s(seq, ord)
        where s.seq in (select seq from written);
end $$;
