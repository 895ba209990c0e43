-- Small records beside the jobs: schedules and calendars. `wake_at` is when a node should look.
create table taskwright.document (
    namespace      integer not null,
    kind           text    collate "C" not null,
    name           text    collate "C" not null,
    revision       bigint  not null,
    wake_at        bigint,
    body           text    not null,
    primary key (namespace, kind, name)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
create index document_wake on taskwright.document (wake_at) where wake_at is not null;

-- Changes one document, if it has the expected revision; with `p_body` null it is removed. Answers 0
-- where that was done, 1 where it has the new revision already, 2 where it has another one than
-- expected, and 3 where there is no room for another one.
create function taskwright.tick_document(
    p_now bigint, p_namespace integer, p_kind text, p_name text, p_expected bigint,
    p_revision bigint, p_body text, p_wake_at bigint, p_max bigint, p_actor text, p_action text)
returns smallint
language plpgsql as $$
declare
    v_revision bigint;
    v_found    boolean;
begin
    select d.revision into v_revision from taskwright.document d
    where d.namespace = p_namespace and d.kind = p_kind and d.name = p_name for update;
    v_found := found;
    if v_revision = p_revision then
        return 1;
    end if;
    if v_revision is distinct from p_expected then
        return 2;
    end if;
    if p_body is null then
        delete from taskwright.document d
        where d.namespace = p_namespace and d.kind = p_kind and d.name = p_name;
    elsif v_found then
        update taskwright.document d
        set revision = p_revision, wake_at = p_wake_at, body = p_body
        where d.namespace = p_namespace and d.kind = p_kind and d.name = p_name;
    else
        -- One after another, so that no two take the last place.
        perform pg_advisory_xact_lock(hashtext('taskwright.document'), p_namespace);
        if (select count(*) from taskwright.document d
            where d.namespace = p_namespace and d.kind = p_kind) >= p_max then
            return 3;
        end if;
        insert into taskwright.document (namespace, kind, name, revision, wake_at, body)
        values (p_namespace, p_kind, p_name, p_revision, p_wake_at, p_body)
        on conflict do nothing;
        if not found then
            return 2;
        end if;
    end if;
    if p_actor is not null then
        insert into taskwright.audit (at, actor, action)
        values (taskwright.time_of(p_now), p_actor, p_action);
    end if;
    return 0;
end $$;
