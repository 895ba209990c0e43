-- Policies: what operators allow. What follows from them for claims is in limits.sql; here is also what
-- queues bound beside that: how many of their jobs may wait, and how fast failed attempts come back.

-- The namespaces that have or had policies; of those, how many say what may start, and how many have a
-- retry budget. The version grows with each change of them.
create table taskwright.limits (
    namespace      integer primary key,
    version        bigint  not null,
    policies       integer not null,
    starts         integer not null,
    budgets        integer not null
);
create index limits_budgets on taskwright.limits (namespace) where budgets > 0;

-- kind 0: of the queue `name`; 1: of the task; 2: of the group `name` of `queue`; 3: of the limit key.
create table taskwright.policy (
    namespace      integer  not null,
    kind           smallint not null,
    queue          text     not null,
    name           text     not null,
    concurrency    bigint,
    rate_count     bigint,
    rate_period_ms bigint,
    rate_burst     bigint,
    fair           boolean  not null,
    weight         bigint,
    retry_count    bigint,
    retry_period_ms bigint,
    retry_burst    bigint,
    waiting        bigint,
    ordered        smallint, -- 0: a dead job keeps back those behind it; 1: it gives way
    is_strict      boolean  not null,
    primary key (namespace, kind, queue, name)
);

-- Sets the policy of just this subject, or takes it away where all of it is null. Answers false where
-- there are as many as may be. All lines of the namespace are to be served then.
create function taskwright.set_policy(
    p_namespace integer, p_kind smallint, p_queue text, p_name text, p_concurrency bigint,
    p_rate_count bigint, p_rate_period_ms bigint, p_rate_burst bigint, p_fair boolean,
    p_weight bigint, p_retry_count bigint, p_retry_period_ms bigint, p_retry_burst bigint,
    p_waiting bigint, p_ordered smallint, p_strict boolean, p_max integer
) returns boolean
language plpgsql as $$
declare
    v_old    taskwright.policy%rowtype;
    v_known  boolean;
    v_starts boolean := p_concurrency is not null or p_rate_count is not null
                        or p_weight is not null or p_ordered is not null or p_fair or p_strict;
    v_more   integer;
begin
    perform pg_advisory_xact_lock(hashtext('taskwright.limits'), p_namespace);
    select p.* into v_old from taskwright.policy p where p.namespace = p_namespace
        and p.kind = p_kind and p.queue = p_queue and p.name = p_name;
    v_known := found;
    if not v_starts and p_retry_count is null and p_waiting is null then
        delete from taskwright.policy p where p.namespace = p_namespace
            and p.kind = p_kind and p.queue = p_queue and p.name = p_name;
        v_more := case when v_known then -1 else 0 end;
    else
        v_more := case when v_known then 0 else 1 end;
        if v_more > 0 and p_max <= (
                select m.policies from taskwright.limits m where m.namespace = p_namespace) then
            return false;
        end if;
        insert into taskwright.policy values
            (p_namespace, p_kind, p_queue, p_name, p_concurrency, p_rate_count, p_rate_period_ms,
             p_rate_burst, p_fair, p_weight, p_retry_count, p_retry_period_ms, p_retry_burst,
             p_waiting, p_ordered, p_strict)
        on conflict (namespace, kind, queue, name) do update set
            concurrency = excluded.concurrency, rate_count = excluded.rate_count,
            rate_period_ms = excluded.rate_period_ms, rate_burst = excluded.rate_burst,
            fair = excluded.fair, weight = excluded.weight, retry_count = excluded.retry_count,
            retry_period_ms = excluded.retry_period_ms, retry_burst = excluded.retry_burst,
            waiting = excluded.waiting, ordered = excluded.ordered, is_strict = excluded.is_strict;
    end if;
    insert into taskwright.limits as m values
        (p_namespace, 1, v_more,
         v_starts::integer - (v_known and (v_old.concurrency is not null
             or v_old.rate_count is not null or v_old.weight is not null
             or v_old.ordered is not null or v_old.fair or v_old.is_strict))::integer,
         (p_retry_count is not null)::integer - (v_old.retry_count is not null)::integer)
    on conflict (namespace) do update set
        version = m.version + 1, policies = m.policies + excluded.policies,
        starts = m.starts + excluded.starts, budgets = m.budgets + excluded.budgets;
    if p_kind = 0 and (p_waiting is null) <> (v_old.waiting is null) then
        -- Lanes are made under this lock, and look for the policy then.
        perform pg_advisory_xact_lock(hashtext('taskwright.lane'));
        update taskwright.lane l set is_bound = p_waiting is not null
        where l.namespace = p_namespace and l.queue = p_name;
    end if;
    insert into taskwright.line_note (namespace, number)
    select l.namespace, l.number from taskwright.lines_after((-9223372036854775808)::bigint, null) l
    where l.namespace = p_namespace;
    return true;
end $$;

-- How many jobs of some queues wait, in whatever place.
create function taskwright.waiting_jobs(
    p_namespace integer[], p_queue text[], p_tally_from bigint
) returns table (ord bigint, amount bigint)
language plpgsql stable set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
begin
    return query
        with its as (
            select q.ord, l.number as lane
            from unnest(p_namespace, p_queue) with ordinality q(namespace, queue, ord)
            join taskwright.lane l on l.namespace = q.namespace and l.queue = q.queue
        ), counted as (
            select i.ord, c.amount from its i
            join taskwright.counter c on c.lane = i.lane and c.state between 1 and 4
            union all
            select i.ord, t.delta from taskwright.tally t join its i on i.lane = t.lane
            where t.number >= p_tally_from and t.state between 1 and 4
        )
        select q.ord, coalesce((select sum(c.amount) from counted c where c.ord = q.ord), 0)::bigint
        from unnest(p_queue) with ordinality q(queue, ord) order by q.ord;
end $$;

-- Makes sure that so many more jobs may wait in queues that let only so many: TW008 where they may not.
-- Who asks for the same queue waits until the caller's transaction has ended.
create function taskwright.hold_places(
    p_namespace integer[], p_queue text[], p_more bigint[], p_most bigint[], p_tally_from bigint
) returns void
language plpgsql set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
begin
    perform pg_advisory_xact_lock(k.key) from (
        select distinct hashtextextended('taskwright.waiting ' || q.namespace || ' ' || q.queue, 0)
            as key
        from unnest(p_namespace, p_queue) q(namespace, queue) order by 1) k;
    if exists (select from taskwright.waiting_jobs(p_namespace, p_queue, p_tally_from) w
               where p_more[w.ord] > 0 and w.amount + p_more[w.ord] > p_most[w.ord]) then
        raise exception 'a queue is full meanwhile' using errcode = 'TW008';
    end if;
end $$;

-- The arrival times of retry budgets; no others take their place in them until the caller's transaction
-- has ended.
create function taskwright.open_budgets(p_namespace integer[], p_number bigint[])
returns table (number bigint, at bigint)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    perform pg_advisory_xact_lock(k.key) from (
        select distinct hashtextextended('taskwright.budget ' || n.number, 0) as key
        from unnest(p_number) n(number) order by 1) k;
    return query
        select n.number, coalesce((select a.at from taskwright.arrival a
                                   where a.number = n.number and a.namespace = n.namespace), 0)
        from unnest(p_namespace, p_number) n(namespace, number);
end $$;

-- Notes what retry budgets have given; the caller has opened them.
create function taskwright.note_budgets(p_namespace integer[], p_number bigint[], p_at bigint[])
returns void
language plpgsql as $$
begin
    insert into taskwright.arrival as a (namespace, number, at)
    select * from unnest(p_namespace, p_number, p_at)
    on conflict (number, namespace) do update set at = excluded.at;
end $$;
