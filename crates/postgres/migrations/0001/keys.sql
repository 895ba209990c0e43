-- Jobs by their keys: how many run or are ready, and who is the first.

-- The jobs that have not ended, by each of their keys. A job has up to five, its group and four limit
-- keys, and each has an index: one over the array as a whole would keep what has ended until it is
-- vacuumed, and every count would look at it. A job without keys is in none of them. `state + 0`: so
-- that a statement which says so can use no other index, however cheap that looks to the planner while
-- most jobs are in another state.
create index job_key_1 on taskwright.job ((keys[1]), (state + 0), seq) where keys[1] is not null;
create index job_key_2 on taskwright.job ((keys[2]), (state + 0), seq) where keys[2] is not null;
create index job_key_3 on taskwright.job ((keys[3]), (state + 0), seq) where keys[3] is not null;
create index job_key_4 on taskwright.job ((keys[4]), (state + 0), seq) where keys[4] is not null;
create index job_key_5 on taskwright.job ((keys[5]), (state + 0), seq) where keys[5] is not null;
create view taskwright.job_key as
    select j.keys[1] as number, j.state + 0 as state, j.seq, j.lane from taskwright.job j union all
    select j.keys[2], j.state + 0, j.seq, j.lane from taskwright.job j union all
    select j.keys[3], j.state + 0, j.seq, j.lane from taskwright.job j union all
    select j.keys[4], j.state + 0, j.seq, j.lane from taskwright.job j union all
    select j.keys[5], j.state + 0, j.seq, j.lane from taskwright.job j;

create index dead_keys on taskwright.dead using gin (keys) with (fastupdate = off)
    where keys is not null;

-- Bitmap scans are off here, since they do not mark what they find dead: the next count would look at
-- it again.

-- What keys have used: how many of their jobs run, and when the next start is due.
create function taskwright.key_usage(p_namespace integer, p_number bigint[])
returns table (number bigint, running bigint, arrival bigint)
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    return query
        select n.number,
               (select count(*) from taskwright.job_key k where k.number = n.number and k.state = 5),
               coalesce((select a.at from taskwright.arrival a
                         where a.number = n.number and a.namespace = p_namespace), 0)
        from unnest(p_number) n(number);
end $$;

-- How many jobs with a key are ready, by lane. It looks at no more of each key than `p_limit` says
-- (null: all), in no order.
create function taskwright.key_ready(p_number bigint[], p_limit bigint[])
returns table (number bigint, lane integer, amount bigint)
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    return query
        select n.number, r.lane, count(*)
        from unnest(p_number, p_limit) n(number, most), lateral (
            select k.lane from taskwright.job_key k where k.number = n.number and k.state = 1
            limit n.most) r
        group by 1, 2;
end $$;

-- The first in the order of keys, by `seq`: of the jobs that have not ended, and of the dead where they
-- keep their place (`p_blocked`). If it stands in the line of the key, `lane` and what follows say how.
create function taskwright.key_heads(p_now bigint, p_number bigint[], p_blocked boolean[])
returns table (number bigint, seq bigint, lane integer, rank bigint, run_at bigint,
               priority smallint, keys bigint[], extras text, is_over boolean)
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    return query
        select n.number, h.seq, w.lane, w.rank, w.run_at, w.priority, w.keys, w.extras, w.is_over
        from unnest(p_number, p_blocked) n(number, blocked)
        cross join lateral (
            select min(f.seq) as seq from (
                select l.seq from unnest(array[0, 1, 2, 3, 4, 5]) s(state), lateral (
                    select k.seq from taskwright.job_key k
                    where k.number = n.number and k.state = s.state order by k.seq limit 1) l
                union all
                select min(d.seq) from taskwright.dead d
                where n.blocked and d.keys is not null and d.keys @> array[n.number]) f) h
        left join lateral (
            select j.lane, j.rank, j.run_at, j.priority, j.keys, j.extras,
                   j.max_losses is null and coalesce(j.expires_at <= p_now, false) as is_over
            from taskwright.job j
            where j.seq = h.seq and j.state + 0 = 3 and j.line = n.number) w on true;
end $$;
