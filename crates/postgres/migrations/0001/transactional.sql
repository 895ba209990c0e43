-- For transactions of applications, from any driver and any language.

-- What an insert does where another job holds the unique key, in the form of `intake.on_conflict`.
create function taskwright.conflict_text(
    p_on_conflict text, p_replace text[], p_scheduled_only boolean, p_at_most_ms bigint
) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_replace text[] := case p_on_conflict when 'debounce' then '{args,run_at}'
                        when 'throttle' then '{args}' when 'replace' then p_replace end;
begin
    if p_on_conflict is null
            or p_on_conflict not in ('keep', 'refuse', 'debounce', 'throttle', 'replace') then
        raise exception 'taskwright.enqueue: on_conflict is %', coalesce(quote_literal(p_on_conflict), 'null')
            using errcode = '22023', hint = 'it is keep, refuse, debounce, throttle or replace';
    elsif p_on_conflict <> 'replace' and p_replace is not null then
        raise exception 'taskwright.enqueue: replace is given, and on_conflict is %', p_on_conflict
            using errcode = '22023', hint = 'it goes with on_conflict => ''replace'' only';
    elsif p_on_conflict = 'replace' and (
            coalesce(cardinality(p_replace), 0) = 0 or array_position(p_replace, null) > 0
            or not p_replace <@ '{args,priority,run_at,max_attempts,timeout_ms,tags}') then
        raise exception 'taskwright.enqueue: replace is %', coalesce(quote_literal(p_replace::text), 'null')
            using errcode = '22023',
                  hint = 'name some of args, priority, run_at, max_attempts, timeout_ms, tags';
    elsif p_scheduled_only and v_replace is null then
        raise exception 'taskwright.enqueue: replace_scheduled_only, but nothing is replaced'
            using errcode = '22023';
    elsif p_at_most_ms is not null and (p_at_most_ms not between 0 and 315619200000
            or v_replace is null or not 'run_at' = any(v_replace)) then
        raise exception 'taskwright.enqueue: replace_at_most_ms is %', p_at_most_ms
            using errcode = '22023',
                  hint = 'it goes with a run_at that is replaced, and is at most 3653 days';
    end if;
    return case
        when p_on_conflict = 'refuse' then '{"refuse": true}'
        when v_replace is not null then jsonb_strip_nulls(jsonb_build_object(
            'replace', v_replace, 'scheduled_only', coalesce(p_scheduled_only, false),
            'at_most_ms', p_at_most_ms))::text
    end;
end $$;

-- Enqueues a job in the caller's transaction: it exists if and only if that commits, and starts
-- within about a second of that. Answers its id. An id that is known already is answered as it is,
-- so the call may be repeated.
-- Runs as the owner of the tables, whoever calls it: so a role can be let to enqueue and nothing else.
--
--     select taskwright.enqueue('mail:send', '{"to": 7}');
--     select taskwright.enqueue('report', '{}', queue => 'slow', run_at => now() + interval '1 hour');
--
-- With a `unique_key`, no other job is to hold that at the same time: until its first claim
-- (`unique_until` 'claimed'), until its end ('finished', unless something is debounced or throttled) or
-- for `unique_for_ms`. Whether one does is known when the job is taken in. `on_conflict` says what
-- happens then to the new job: it is left out ('keep'), with a note in the audit; the same as a
-- refusal ('refuse'); or its fields are given to a holder that waits ('replace', 'debounce',
-- 'throttle').
--
--     select taskwright.enqueue('report', '{"of": 7}', unique_key => 'report/7');
--     select taskwright.enqueue('index', '{"page": 7}', unique_key => 'page/7',
--                               on_conflict => 'debounce', run_at => now() + interval '10 s');
create function taskwright.enqueue(
    task text, args json default 'null', queue text default 'default', priority integer default 0,
    run_at timestamptz default null, max_attempts integer default 20,
    timeout_ms bigint default null, id uuid default gen_random_uuid(),
    namespace text default 'default', fingerprint bigint default null, extras text default null,
    unique_key text default null, unique_until text default null, unique_for_ms bigint default null,
    on_conflict text default 'keep', replace text[] default null,
    replace_scheduled_only boolean default false, replace_at_most_ms bigint default null
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_name constant text := '^[a-z0-9._:/-]{1,128}$';
    v_conflict text := taskwright.conflict_text(
        enqueue.on_conflict, enqueue.replace, enqueue.replace_scheduled_only,
        enqueue.replace_at_most_ms);
    v_extras text := enqueue.extras;
begin
    if enqueue.task is null or enqueue.task !~ v_name then
        raise exception 'taskwright.enqueue: % is not a valid task name', coalesce(quote_literal(task), 'null')
            using errcode = '22023', hint = 'names have 1 to 128 of a-z 0-9 . _ : / -';
    elsif enqueue.queue is null or enqueue.queue !~ v_name then
        raise exception 'taskwright.enqueue: % is not a valid queue name', coalesce(quote_literal(queue), 'null')
            using errcode = '22023', hint = 'names have 1 to 128 of a-z 0-9 . _ : / -';
    elsif enqueue.namespace is null or enqueue.namespace !~ v_name then
        raise exception 'taskwright.enqueue: % is not a valid namespace', coalesce(quote_literal(namespace), 'null')
            using errcode = '22023', hint = 'names have 1 to 128 of a-z 0-9 . _ : / -';
    elsif enqueue.args is null or octet_length(enqueue.args::text) > 1048576 then
        raise exception 'taskwright.enqueue: args are null or longer than 1 MiB'
            using errcode = '22023', hint = 'put large data elsewhere and pass a reference';
    elsif enqueue.priority is null or enqueue.priority not between -10 and 10 then
        raise exception 'taskwright.enqueue: priority % is not within -10 and 10', priority
            using errcode = '22023';
    elsif enqueue.max_attempts is null or enqueue.max_attempts not between 1 and 10000 then
        raise exception 'taskwright.enqueue: max_attempts % is not within 1 and 10000', max_attempts
            using errcode = '22023';
    elsif enqueue.timeout_ms not between 1 and 31622400000 then
        raise exception 'taskwright.enqueue: timeout_ms % is not within 1 and 366 days', timeout_ms
            using errcode = '22023';
    elsif enqueue.run_at > now() + interval '3653 days' then
        raise exception 'taskwright.enqueue: run_at % is more than ten years ahead', run_at
            using errcode = '22023';
    elsif enqueue.id is null then
        raise exception 'taskwright.enqueue: the id is null' using errcode = '22023';
    elsif json_typeof(enqueue.extras::json) <> 'object' then
        raise exception 'taskwright.enqueue: extras are no JSON object' using errcode = '22023';
    elsif octet_length(enqueue.unique_key) not between 1 and 256 then
        raise exception 'taskwright.enqueue: the unique key has % bytes', octet_length(unique_key)
            using errcode = '22023', hint = 'it has 1 to 256';
    elsif enqueue.unique_key is null
            and (enqueue.unique_until is not null or enqueue.unique_for_ms is not null
                 or enqueue.on_conflict <> 'keep' and enqueue.extras::json -> 'unique_key' is null) then
        raise exception 'taskwright.enqueue: there is no unique key' using errcode = '22023',
            hint = 'give unique_key, or leave out unique_until, unique_for_ms and on_conflict';
    elsif enqueue.unique_until not in ('claimed', 'finished')
            or enqueue.unique_until is not null and enqueue.unique_for_ms is not null then
        raise exception 'taskwright.enqueue: unique_until is %', quote_literal(unique_until)
            using errcode = '22023',
                  hint = 'it is claimed or finished, and left out beside unique_for_ms';
    elsif enqueue.unique_for_ms not between 1 and 315619200000 then
        raise exception 'taskwright.enqueue: unique_for_ms % is not within 1 and 3653 days', unique_for_ms
            using errcode = '22023';
    end if;
    if enqueue.unique_key is not null then
        v_extras := (coalesce(v_extras, '{}')::jsonb
                     || jsonb_build_object('unique_key', enqueue.unique_key) || case
            when enqueue.unique_for_ms is not null
                then jsonb_build_object('unique_for_ms', enqueue.unique_for_ms)
            when coalesce(enqueue.unique_until,
                          case when enqueue.on_conflict in ('debounce', 'throttle') then 'claimed' end)
                 = 'claimed' then '{"unique_until_claimed": true}'
            else '{}' end)::text;
    end if;
    insert into taskwright.intake (id, namespace, queue, task, args, priority, run_at, max_attempts,
                                   timeout_ms, fingerprint, extras, on_conflict)
    values (enqueue.id, enqueue.namespace, enqueue.queue, enqueue.task, enqueue.args::text,
            enqueue.priority, (extract(epoch from enqueue.run_at) * 1000000)::bigint,
            enqueue.max_attempts, enqueue.timeout_ms,
            coalesce(enqueue.fingerprint, hashtextextended(
                enqueue.task || ' ' || enqueue.queue || ' ' || enqueue.args::text, 0)),
            v_extras, v_conflict)
    on conflict do nothing;
    return enqueue.id;
end $$;

-- Completes a running job in the caller's transaction: the job is completed if and only if that
-- commits. `token` is the attempt's, as the worker was given it. An attempt that is no longer the
-- caller's is an error, so that its transaction is rolled back.
create function taskwright.complete_job(
    id uuid, token text, result json default null, namespace text default 'default'
) returns void
language plpgsql as $$
declare
    v_namespace integer := (select n.number from taskwright.namespace n
                            where n.name = complete_job.namespace);
    v_seq  bigint;
    v_done integer;
begin
    if token is null or token !~ '^[0-9]+\.[0-9]+\.[0-9a-f]{1,16}$' then
        raise exception 'taskwright.complete_job: % is not a token', coalesce(quote_literal(token), 'null')
            using errcode = '22023', hint = 'it looks like 3.1.9f86d081884c7d65';
    end if;
    v_seq := ('x' || lpad(split_part(token, '.', 3), 16, '0'))::bit(64)::bigint;
    -- A heartbeat may be writing to the job. The next statement sees what it wrote, this one does not.
    perform 1 from taskwright.job j where j.seq = v_seq for update;
    select count(*) into v_done from taskwright.complete(
        null, v_namespace,
        array[v_seq], array[complete_job.id], array[split_part(token, '.', 1)::integer],
        array[split_part(token, '.', 2)::integer], array[complete_job.result::text]);
    if v_done = 0 then
        raise exception 'taskwright.complete_job: job % is not run by this attempt any more', id
            using errcode = 'TW010',
                  hint = 'roll back: another attempt has taken its place, or it was cancelled';
    end if;
end $$;

-- What people look at: names, words and times.
create view taskwright.jobs as
select n.name as namespace, j.id, j.seq, l.queue, l.task,
       (select r.text from taskwright.requirement r where r.number = l.requirement) as requires,
       (array['blocked', 'available', 'available', 'available', 'available', 'running', 'completed',
              'dead', 'cancelled', 'expired'])[j.state + 1] as state,
       j.priority, j.attempt, j.max_attempts, coalesce(j.failures, 0) as failures,
       to_timestamp(j.run_at / 1e6) as run_at, to_timestamp(j.created_at / 1e6) as created_at,
       to_timestamp(j.started_at / 1e6) as started_at,
       to_timestamp(j.finished_at / 1e6) as finished_at,
       j.worker, j.timeout_ms, j.args, j.result, j.checkpoint, j.progress, j.extras, j.notes
from (select * from taskwright.job
      union all select * from taskwright.dead
      union all select seq, id, namespace, lane, state, priority, attempt, max_attempts, rank, run_at,
                       created_at, timeout_ms, expires_at, unique_key, unique_until, keys, line,
                       allowance, worker, epoch, claim_seq, started_at, deadline, failures, losses, released, snoozed, max_losses,
                       cancel_requested, last_epoch, last_attempt, last_verdict, last_nonce, cause,
                       finished_at, weight, extras, notes, progress, checkpoint, result, args
                from taskwright.ended) j
join taskwright.lane l on l.number = j.lane
join taskwright.namespace n on n.number = j.namespace;
