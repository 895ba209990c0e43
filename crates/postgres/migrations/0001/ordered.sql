-- Ordered keys (src/limits/ordered.rs): who comes first.

-- The jobs with a key that have not ended, in the order of their `seq`: a job has up to five keys, its
-- group and four limit keys, and each has an index. A job without keys is in none of them. So the first
-- of a key is found by one look into each, however many stand in line or wait for their time.
create index job_key_1 on taskwright.job ((keys[1]), seq) where keys[1] is not null;
create index job_key_2 on taskwright.job ((keys[2]), seq) where keys[2] is not null;
create index job_key_3 on taskwright.job ((keys[3]), seq) where keys[3] is not null;
create index job_key_4 on taskwright.job ((keys[4]), seq) where keys[4] is not null;
create index job_key_5 on taskwright.job ((keys[5]), seq) where keys[5] is not null;
create index dead_keys on taskwright.dead using gin (keys) with (fastupdate = off)
    where keys is not null;

-- The first in the order of keys: of the jobs that have not ended, and of the dead where they keep their
-- place (`p_blocked`). If it stands in the line of the key, `lane` and what follows say how.
create function taskwright.key_heads(p_now bigint, p_number bigint[], p_blocked boolean[])
returns table (number bigint, seq bigint, lane integer, rank bigint, run_at bigint,
               priority smallint, keys bigint[], extras text, is_over boolean)
language plpgsql stable set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    return query
        select n.number, h.seq, w.lane, w.rank, w.run_at, w.priority, w.keys, w.extras, w.is_over
        from unnest(p_number, p_blocked) n(number, blocked)
        cross join lateral (
            select min(f.seq) as seq from (
                (select j.seq from taskwright.job j where j.keys[1] = n.number order by j.seq limit 1)
                union all
                (select j.seq from taskwright.job j where j.keys[2] = n.number order by j.seq limit 1)
                union all
                (select j.seq from taskwright.job j where j.keys[3] = n.number order by j.seq limit 1)
                union all
                (select j.seq from taskwright.job j where j.keys[4] = n.number order by j.seq limit 1)
                union all
                (select j.seq from taskwright.job j where j.keys[5] = n.number order by j.seq limit 1)
                union all
                select min(d.seq) from taskwright.dead d
                where n.blocked and d.keys is not null and d.keys @> array[n.number]) f) h
        left join lateral (
            select j.lane, j.rank, j.run_at, j.priority, j.keys, j.extras,
                   j.max_losses is null and coalesce(j.expires_at <= p_now, false) as is_over
            from taskwright.job j
            where j.seq = h.seq and j.state + 0 = 3 and j.line = n.number) w on true;
end $$;
