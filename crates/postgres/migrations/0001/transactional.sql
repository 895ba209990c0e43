-- For transactions of applications, from any driver and any language.

-- Enqueues a job in the caller's transaction: it exists if and only if that commits, and starts
-- within about a second of that. Answers its id. An id that is known already is answered as it is,
-- so the call may be repeated.
-- Runs as the owner of the tables, whoever calls it: so a role can be let to enqueue and nothing else.
--
--     select taskwright.enqueue('mail:send', '{"to": 7}');
--     select taskwright.enqueue('report', '{}', queue => 'slow', run_at => now() + interval '1 hour');
create function taskwright.enqueue(
    task text, args json default 'null', queue text default 'default', priority integer default 0,
    run_at timestamptz default null, max_attempts integer default 20,
    timeout_ms bigint default null, id uuid default gen_random_uuid(),
    namespace text default 'default', fingerprint bigint default null, extras text default null
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_name constant text := '^[a-z0-9._:/-]{1,128}$';
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
    end if;
    insert into taskwright.intake (id, namespace, queue, task, args, priority, run_at, max_attempts,
                                   timeout_ms, fingerprint, extras)
    values (enqueue.id, enqueue.namespace, enqueue.queue, enqueue.task, enqueue.args::text,
            enqueue.priority, (extract(epoch from enqueue.run_at) * 1000000)::bigint,
            enqueue.max_attempts, enqueue.timeout_ms,
            coalesce(enqueue.fingerprint, hashtextextended(
                enqueue.task || ' ' || enqueue.queue || ' ' || enqueue.args::text, 0)),
            enqueue.extras)
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
                       created_at, timeout_ms, expires_at, unique_key, unique_until, allowance,
                       worker, epoch, claim_seq, started_at, deadline, failures, losses, released, snoozed, max_losses,
                       cancel_requested, last_epoch, last_attempt, last_verdict, last_nonce, cause,
                       finished_at, weight, extras, notes, progress, checkpoint, result, args
                from taskwright.ended) j
join taskwright.lane l on l.number = j.lane
join taskwright.namespace n on n.number = j.namespace;
