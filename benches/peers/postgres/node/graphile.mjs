// graphile-worker: its docs' settings for speed (worker.graphile.org/docs/performance).

import { Logger, makeWorkerUtils, run } from "graphile-worker";

export const name = "graphile-worker";

export const settings = {
    jobs: 200_000,
    bulkCallers: 4,
    concurrentConnections: 2,
    workers: 2,
    concurrentJobs: 24,
    localQueueSize: 2_000,
};

const logger = new Logger(() => (level, message) => {
    if (level === "error" || level === "warning") console.error(`graphile-worker: ${message}`);
});

export async function open(url, _, connections) {
    const utils = await makeWorkerUtils({ connectionString: url, maxPoolSize: connections, logger });
    await utils.migrate();
    const sql = (text) => utils.withPgClient((client) => client.query(text));
    return {
        one: (job) => utils.addJob("noop", job),
        many: (jobs) => utils.addJobs(jobs.map((payload) => ({ identifier: "noop", payload }))),
        sql,
        left: async () =>
            (await sql("select count(*)::int as count from graphile_worker._private_jobs")).rows[0].count,
        clear: () => sql("truncate graphile_worker._private_jobs"),
        close: () => utils.release(),
    };
}

export async function connect(url, { concurrentJobs, localQueueSize }, ran) {
    const options = {
        preset: {
            worker: {
                connectionString: url,
                concurrentJobs,
                maxPoolSize: concurrentJobs + 1,
                localQueue: { size: localQueueSize },
                completeJobBatchDelay: 0,
                failJobBatchDelay: 0,
            },
        },
        // Nothing for each job: the log would be most of the work.
        logger,
        noHandleSignals: true,
        taskList: { noop: async (payload) => ran(payload) },
    };
    // It connects and starts in one call.
    let runner;
    return {
        work: async () => { runner = await run(options); },
        stop: () => runner.stop(),
    };
}
