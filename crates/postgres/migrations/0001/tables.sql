-- What the store keeps. Instants are microseconds since 1970, UTC; the view `jobs` shows them as
-- times. Every name of the schema is written `taskwright.x` here and replaced where another is chosen.

-- State codes, everywhere: 0 blocked, 1 ready, 2 until, 3 line, 4 intake, 5 running, 6 completed,
-- 7 dead, 8 cancelled, 9 expired. 1 to 4 are the places of an available job.

-- The store's own time, the lease time served so far, and where ended jobs go now. One row, written
-- by sweeps only.
create table taskwright.meta (
    one            boolean primary key default true check (one),
    high_water     bigint  not null default 0,
    served         bigint  not null default 0,
    swept_at       bigint  not null default 0,
    bucket         integer not null default 1
) with (fillfactor = 20);
insert into taskwright.meta default values;

create sequence taskwright.job_seq;
create sequence taskwright.epoch_seq maxvalue 2147483647;

create table taskwright.namespace (
    number         integer generated always as identity primary key,
    name           text    not null unique
);

-- What jobs require of the labels of their worker. New ones are written under the lock of lanes, so
-- whoever has seen a number has seen all smaller ones; a number never means anything else.
create table taskwright.requirement (
    number         integer generated always as identity primary key,
    text           text    not null unique
);

-- Where jobs wait: a queue, a task, a requirement (0: none) and a priority; so the rank within a lane
-- grows with time.
-- kind 0: new jobs; 1: jobs that came back or came due, whose rank may be old; 2: suspects.
-- Claims look only at lanes that are open. One without live jobs is closed when others need its
-- place (lanes.sql); it stays while ended jobs name it, and a number never names another lane.
-- Lanes for new jobs are bound where their queue lets only so many wait (policies.sql).
create table taskwright.lane (
    number         integer generated always as identity primary key,
    namespace      integer  not null,
    queue          text     not null,
    task           text     not null,
    requirement    integer  not null,
    priority       smallint not null,
    kind           smallint not null,
    is_open        boolean  not null default true,
    is_bound       boolean  not null default false,
    unique (namespace, queue, task, requirement, priority, kind)
);
create index lane_open on taskwright.lane (namespace, queue, task) where is_open;

create table taskwright.queue (
    namespace      integer not null,
    queue          text    not null,
    paused         boolean not null,
    primary key (namespace, queue)
);

-- Every id that is known, of live and of ended jobs, and for a while of deleted ones: for those
-- `state` and `finished_at` are set here.
create table taskwright.ident (
    namespace      integer not null,
    id             uuid    not null,
    seq            bigint  not null,
    fingerprint    bigint  not null,
    state          smallint,
    finished_at    bigint,
    primary key (id, namespace)
);
create index ident_gone on taskwright.ident (finished_at) where finished_at is not null;

-- Jobs that have not ended. Counts that are null are zero; `allowance` is null while it is equal
-- to `max_attempts`, and `last_nonce` while it is equal to `seq`: it is of another store else.
-- A job with a unique key holds it until its first claim (`unique_until` 0), until its end (1) or
-- for a time (2): what is held now, the table `hold` says. `keys` are the numbers of its group and limit
-- keys, in their order, and `line` is the key in whose line it stands (limits.sql).
create table taskwright.job (
    seq            bigint   not null primary key,
    id             uuid     not null,
    namespace      integer  not null,
    lane           integer  not null,
    state          smallint not null,
    priority       smallint not null,
    attempt        integer  not null default 0,
    max_attempts   integer  not null,
    rank           bigint   not null,
    run_at         bigint   not null,
    created_at     bigint   not null,
    timeout_ms     bigint,
    expires_at     bigint,
    unique_key     text,
    unique_until   smallint,
    keys           bigint[],
    line           bigint,
    allowance      integer,
    worker         uuid,
    epoch          integer,
    claim_seq      bigint,
    started_at     bigint,
    deadline       bigint,
    failures       integer,
    losses         integer,
    released       integer,
    snoozed        integer,
    max_losses     integer,
    cancel_requested boolean,
    last_epoch     integer,
    last_attempt   integer,
    last_verdict   smallint,
    last_nonce     bigint,
    cause          smallint,
    finished_at    bigint,
    weight         bigint,
    extras         text,
    notes          text,
    progress       text,
    checkpoint     text,
    result         text,
    args           text     not null
) with (
    fillfactor = 85,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_analyze_scale_factor = 0.2,
    autovacuum_vacuum_insert_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 0
);
create index job_ready   on taskwright.job (lane, rank, seq) where state = 1;
create index job_until   on taskwright.job (run_at)          where state = 2;
-- With `seq`, since entries that are all alike would be sorted out again and again.
create index job_running on taskwright.job (worker, seq)     where state = 5;
create index job_intake  on taskwright.job (seq)             where state = 4;
create index job_expiry  on taskwright.job (expires_at)      where expires_at is not null and state < 5;
create index job_overdue on taskwright.job (deadline)        where deadline is not null and state = 5;

-- The unique keys that are held, and by which job; `expires_at` where it is for a time. A row comes
-- with the insert of its job and goes with what ends the hold (unique.sql).
create table taskwright.hold (
    namespace      integer not null,
    key            text    not null,
    seq            bigint  not null,
    expires_at     bigint,
    primary key (key, namespace)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
create index hold_elapsed on taskwright.hold (expires_at) where expires_at is not null;

-- Jobs that completed, were cancelled or expired: in buckets that are dropped whole.
create table taskwright.ended (
    like taskwright.job,
    bucket         integer  not null
) partition by list (bucket);
create index ended_seq on taskwright.ended (seq);

-- A bucket of ended jobs; what it holds is counted when it is closed.
create table taskwright.bucket (
    number         integer primary key,
    opened_at      bigint  not null,
    closed_at      bigint,
    jobs           bigint  not null default 0,
    bytes          bigint  not null default 0
);

-- Jobs that died, until somebody redrives or deletes them.
create table taskwright.dead (like taskwright.job, primary key (seq)) with (
    autovacuum_vacuum_scale_factor = 0.05
);
create index dead_finished on taskwright.dead (finished_at, seq);

-- Who runs jobs, and what each serves as its newest claim said. A lease is over when as much lease time has been served as `lease_end` says.
create table taskwright.worker (
    namespace      integer not null,
    id             uuid    not null,
    epoch          integer not null,
    in_process     boolean not null,
    first_seen_at  bigint  not null,
    last_seen_at   bigint  not null,
    lease_end      bigint  not null,
    info           text,
    profile        text,
    primary key (id, namespace)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);

-- The numbers of the claims that gave jobs. Only added to, and read from the top: a table that is
-- updated would grow slow while somebody holds an old snapshot.
create table taskwright.claim_log (
    namespace      integer not null,
    worker         uuid    not null,
    claim_seq      bigint  not null,
    primary key (worker, namespace, claim_seq)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

-- How many jobs of a lane are in which state: `counter` plus all of `tally`. Writers add rows to
-- `tally`, so that no two wait for each other; sweeps fold them. State 100 counts the bytes of ended
-- jobs, 101 those of dead ones.
create table taskwright.counter (
    lane           integer  not null,
    state          smallint not null,
    amount         bigint   not null,
    primary key (lane, state)
) with (fillfactor = 50);
create table taskwright.tally (
    number         bigint generated always as identity primary key,
    lane           integer  not null,
    state          smallint not null,
    delta          bigint   not null
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

-- Processes that have the store open, and the highest version of the schema that they know: those
-- that do not say so know version 1.
create table taskwright.node (
    epoch          integer primary key,
    name           text    not null,
    version        text    not null,
    started_at     bigint  not null,
    seen_at        bigint  not null,
    knows          integer not null default 1
) with (fillfactor = 50);

create table taskwright.audit (
    number         bigint generated always as identity primary key,
    at             bigint  not null,
    actor          text    not null,
    action         text    not null
);

-- Jobs that were enqueued in a transaction of somebody else, until a sweep takes them in. A row is
-- all that such a transaction writes, so it waits for nobody and nobody for it.
create table taskwright.intake (
    number         bigint generated always as identity primary key,
    id             uuid    not null,
    namespace      text    not null,
    queue          text    not null,
    task           text    not null,
    args           text    not null,
    priority       integer not null,
    run_at         bigint,
    max_attempts   integer not null,
    timeout_ms     bigint,
    fingerprint    bigint  not null,
    extras         text,
    on_conflict    text,
    unique (id, namespace)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
