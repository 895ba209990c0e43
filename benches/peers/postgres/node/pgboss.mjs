// pg-boss: batches, and the next batch at once while batches come back full (pgboss.io/api/workers).

import { PgBoss } from "pg-boss";

export const name = "pg-boss";

export const settings = {
    jobs: 150_000,
    bulkCallers: 4,
    concurrentConnections: 64,
    workers: 1,
    batchSize: 1_000,
    localConcurrency: 2,
};

const QUEUE = "noop";

async function started(options) {
    const boss = new PgBoss({ schedule: false, ...options });
    boss.on("error", (error) => console.error(`pg-boss: ${error.message}`));
    await boss.start();
    return boss;
}

export async function open(url, _, connections) {
    const boss = await started({ connectionString: url, max: connections });
    await boss.createQueue(QUEUE);
    const sql = (text) => boss.getDb().executeSql(text, []);
    const left = `select count(*)::int as count from pgboss.job where name = '${QUEUE}' and state <> 'completed'`;
    return {
        one: (job) => boss.send(QUEUE, job),
        many: (jobs) => boss.insert(QUEUE, jobs.map((data) => ({ data }))),
        sql,
        left: async () => (await sql(left)).rows[0].count,
        clear: () => boss.deleteAllJobs(QUEUE),
        close: () => boss.stop({ graceful: true }),
    };
}

export async function connect(url, { batchSize, localConcurrency }, ran) {
    const boss = await started({ connectionString: url, useListenNotify: true });
    const options = { batchSize, localConcurrency, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };
    const runAll = async (jobs) => {
        for (const { data } of jobs) ran(data);
    };
    return {
        work: () => boss.work(QUEUE, options, runAll),
        stop: () => boss.stop({ graceful: true }),
    };
}
