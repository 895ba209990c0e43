-- Whose turn it is in fair queues (src/limits/turns.rs, `core::turns`).

-- What the clocks of fair queues show (their number is their clock), and the turns after the newest
-- starts of their groups (`core::turns`).
create table taskwright.turn (
    namespace      integer not null,
    number         bigint  not null,
    clock          bigint  not null,
    at             bigint  not null,
    primary key (number, namespace)
) with (fillfactor = 50);

-- Those ready jobs that have a turn: a rank below `turns::END`.
-- A group is the first key of its jobs.
create index job_turn on taskwright.job ((keys[1]), rank)
    where state + 0 = 1 and keys[1] is not null and rank < -2305843009213693952;
create index job_turn_due on taskwright.job (lane, run_at)
    where state = 1 and rank < -2305843009213693952;

-- The ready jobs of these groups that have a turn.
create function taskwright.key_turns(p_number bigint[])
returns table (number bigint, lane integer, rank bigint, seq bigint)
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    return query
        select n.number, j.lane, j.rank, j.seq
        from unnest(p_number) n(number), lateral (
            select j.lane, j.rank, j.seq from taskwright.job j
            where j.state + 0 = 1 and j.keys[1] = n.number and j.rank < -2305843009213693952) j;
end $$;

-- Notes what clocks show, and the turns after the newest starts of groups: whoever holds the lock of
-- the namespace.
create function taskwright.note_turns(
    p_namespace integer, p_number bigint[], p_clock bigint[], p_turn bigint[]
) returns void
language plpgsql set enable_seqscan = off set jit = off as $$
begin
    insert into taskwright.turn as t (namespace, number, clock, at)
    select p_namespace, n.number, n.clock, n.at
    from unnest(p_number, p_clock, p_turn) n(number, clock, at)
    on conflict (number, namespace) do update set clock = excluded.clock, at = excluded.at;
end $$;

-- Forgets the turns of up to `p_limit` groups that their clocks have passed: they say nothing any more.
-- Each claim could do so, but would have to find them by an index that each start changes. It looks at
-- all of them, once.
create function taskwright.forget_turns(p_limit integer) returns void
language plpgsql set enable_seqscan = on set enable_nestloop = off set jit = off as $$
declare
    v_rows tid[];
begin
    select array_agg(o.ctid) into v_rows from (
        select t.ctid from taskwright.turn t
        join (select number, namespace, at from taskwright.turn where number = clock) c
            on c.number = t.clock and c.namespace = t.namespace
        where t.number <> t.clock and t.at <= c.at
        limit p_limit for update of t skip locked) o;
    delete from taskwright.turn t where t.ctid = any(v_rows);
end $$;
