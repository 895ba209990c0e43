-- Unique keys: who holds one, how it is taken, and when it is free again.
--
-- Who takes keys waits for others who take the same ones at the same moment, in the order of the
-- keys; rows of jobs that he wants to change he locks after that. Who frees a key waits for nobody
-- who waits for him: his job's row is locked, and nobody locks a hold that is there.

-- Frees the key of a job that held it. As triggers with conditions, for two reasons: no way to end a
-- job can forget it, and a statement about jobs without keys does not as much as open `hold`.
create function taskwright.free_key() returns trigger
language plpgsql as $$
begin
    delete from taskwright.hold h
    where h.key = old.unique_key and h.namespace = old.namespace and h.seq = old.seq;
    return null;
end $$;

create trigger free_key_at_claim after update of attempt on taskwright.job
for each row when (old.unique_until = 0 and old.attempt = 0 and new.attempt > 0)
execute function taskwright.free_key();

create trigger free_key_at_end after delete on taskwright.job
for each row when (old.unique_until = 1 or old.unique_until = 0 and old.attempt = 0)
execute function taskwright.free_key();

-- The jobs that hold some keys; null keys and free ones are left out.
create function taskwright.holders(p_now bigint, p_namespace integer[], p_key text[])
returns table (ord bigint, seq bigint, id uuid, state smallint, attempt integer)
language plpgsql stable set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    return query
        select i.ord, h.seq, coalesce(j.id, e.id), coalesce(j.state, e.state),
               coalesce(j.attempt, e.attempt)
        from unnest(p_namespace, p_key) with ordinality as i(namespace, key, ord)
        join taskwright.hold h on h.key = i.key and h.namespace = i.namespace
            and (h.expires_at is null or h.expires_at > p_now)
        left join taskwright.job j on j.seq = h.seq
        left join lateral (
            select d.id, d.state, d.attempt from taskwright.dead d
            where j.seq is null and d.seq = h.seq
            union all
            select e.id, e.state, e.attempt from taskwright.ended e
            where j.seq is null and e.seq = h.seq) e on true;
end $$;

-- What stands in the way of some new jobs, a row for each: what is known of their ids, and who holds
-- their keys.
create function taskwright.look_up(
    p_now bigint, p_window bigint, p_namespace integer[], p_id uuid[], p_fingerprint bigint[],
    p_key text[]
) returns table (ord bigint, now bigint, seq bigint, conflict boolean, state smallint,
                 holder_seq bigint, holder uuid, holder_state smallint, holder_attempt integer)
language plpgsql stable set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_now bigint := taskwright.time_of(p_now);
begin
    return query
        select i.ord, v_now, k.seq, k.conflict, k.state, h.seq, h.id, h.state, h.attempt
        from unnest(p_namespace, p_id) with ordinality as i(namespace, id, ord)
        left join (
            select k.* from taskwright.known_jobs(p_namespace, p_id, p_fingerprint) k
            where not exists (
                select from taskwright.ident d
                where d.id = p_id[k.ord] and d.namespace = p_namespace[k.ord]
                  and d.finished_at + p_window <= v_now)) k on k.ord = i.ord
        left join taskwright.holders(v_now, p_namespace, p_key) h on h.ord = i.ord
        order by i.ord;
end $$;

-- Lets jobs hold keys, those whose time is not over yet. Where somebody else holds one, whom it
-- waits for if he has just come, the error TW005 is raised: look again.
create function taskwright.take_keys(
    p_now bigint, p_seq bigint[], p_namespace integer[], p_key text[], p_expires_at bigint[]
) returns void
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_taken integer;
begin
    -- Holds whose time is over. Usually there are none, and nothing is locked.
    delete from taskwright.hold h where h.ctid = any(array(
        select x.ctid
        from (select distinct k.key, k.namespace from unnest(p_key, p_namespace) k(key, namespace)
              where k.key is not null order by k.key, k.namespace) k,
             lateral (
                 select h.ctid from taskwright.hold h
                 where h.key = k.key and h.namespace = k.namespace and h.expires_at <= p_now
                 limit 1 for update) x));
    insert into taskwright.hold (namespace, key, seq, expires_at)
    select k.namespace, k.key, k.seq, k.expires_at
    from unnest(p_namespace, p_key, p_seq, p_expires_at) k(namespace, key, seq, expires_at)
    where k.key is not null and (k.expires_at is null or k.expires_at > p_now)
    order by k.key, k.namespace
    on conflict do nothing;
    get diagnostics v_taken = row_count;
    if v_taken < cardinality(array_remove(p_key, null)) and exists (
            select from unnest(p_namespace, p_key, p_seq, p_expires_at)
                       k(namespace, key, seq, expires_at)
            where k.key is not null and (k.expires_at is null or k.expires_at > p_now)
              and not exists (select from taskwright.hold h where h.key = k.key
                              and h.namespace = k.namespace and h.seq = k.seq)) then
        raise exception 'a unique key is taken' using errcode = 'TW005';
    end if;
end $$;

-- Forgets holds whose time is over.
create function taskwright.forget_holds(p_now bigint, p_limit integer) returns void
language plpgsql set enable_seqscan = off set jit = off as $$
begin
    delete from taskwright.hold where ctid = any(array(
        select h.ctid from taskwright.hold h where h.expires_at <= p_now
        order by h.expires_at limit p_limit for update skip locked));
end $$;

-- Writes other fields of waiting jobs whose rows the caller has locked; null args stay.
create function taskwright.rewrite_jobs(
    p_seq bigint[], p_priority smallint[], p_timeout_ms bigint[], p_extras text[], p_args text[]
) returns void
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    update taskwright.job j set
        priority = n.priority, timeout_ms = n.timeout_ms, extras = n.extras,
        args = coalesce(n.args, j.args)
    from unnest(p_seq, p_priority, p_timeout_ms, p_extras, p_args)
        as n(seq, priority, timeout_ms, extras, args)
    where j.seq = n.seq;
end $$;
