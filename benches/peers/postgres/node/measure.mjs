// Measures a peer that runs in Node, and prints one JSON object a line.
//
// node measure.mjs PEER [--quick], where PEER is the name of a module beside this one. The database
// that DATABASE_URL names is empty. The module exports
//   settings     what it is measured with, see README.md; PEER_SETTINGS (JSON) overrides parts of it
//   open(url, settings, connections) -> { one(job), many(jobs), sql(text), left(), clear(), close() }
//   connect(url, settings, ran) -> { work(), stop() }     a worker that calls ran(args) for each job

import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

import { batches, job } from "./job.mjs";
import { Marks, blank, now } from "./marks.mjs";

const BATCH = 1_000;
const CALLERS = 64;
const DRAINED_WITHIN_MS = 120_000;

const [peer, ...flags] = isMainThread ? process.argv.slice(2) : workerData.argv;
const module = await import(`./${peer}.mjs`);
const settings = { seconds: 3, ...module.settings, ...JSON.parse(process.env.PEER_SETTINGS ?? "{}") };
const url = process.env.DATABASE_URL;

if (isMainThread) await measure(flags.includes("--quick"));
else await workInThread();

async function measure(quick) {
    const seconds = quick ? settings.seconds / 3 : settings.seconds;
    const jobs = quick ? settings.jobs / 10 : settings.jobs;

    await during("single.enqueue", 1, seconds);
    await during("concurrent64.enqueue", CALLERS, seconds);
    await preload(jobs);
    await drain(jobs);
}

/** Enqueues one by one, with so many callers at once, for so many seconds. */
async function during(measureName, callers, seconds) {
    const connections = Math.min(callers, settings.concurrentConnections);
    const client = await module.open(url, settings, connections);
    const one = (number) => client.one(job(number));
    await Promise.all(Array.from({ length: callers }, (_, i) => one(i)));

    const latencies = [];
    const began = now();
    const until = began + seconds * 1_000;
    const caller = async () => {
        for (let at = now(); at < until; ) {
            await one(latencies.length);
            const done = now();
            latencies.push(done - at);
            at = done;
        }
    };
    await Promise.all(Array.from({ length: callers }, caller));
    print(measureName, latencies.length, now() - began, latencies);
    await client.clear();
    await client.close();
}

/** Enqueues all jobs of the drain in bulk. */
async function preload(jobs) {
    const callers = settings.bulkCallers;
    const client = await module.open(url, settings, callers);
    await client.many([...batches(BATCH, BATCH)][0]);
    await client.clear();

    const latencies = [];
    const rest = batches(jobs, BATCH);
    const began = now();
    const caller = async () => {
        for (const batch of rest) {
            const at = now();
            await client.many(batch);
            latencies.push(now() - at);
        }
    };
    await Promise.all(Array.from({ length: callers }, caller));
    print("batch1000.enqueue", jobs, now() - began, latencies);
    // As autovacuum does within a minute in a database that lives.
    await client.sql("analyze");
    await client.close();
}

/** Runs all jobs, in threads with a worker each: from the first worker's start to the last job. */
async function drain(jobs) {
    const marks = blank(jobs);
    const times = await new Promise((resolve, reject) => {
        const seen = { began: Infinity };
        const started = Array.from({ length: settings.workers }, () =>
            new Worker(new URL(import.meta.url), { workerData: { argv: [peer], marks } }));
        const late = setTimeout(
            () => reject(new Error(`not drained within ${DRAINED_WITHIN_MS} ms`)), DRAINED_WITHIN_MS);
        let running = started.length;
        for (const thread of started) {
            thread.on("error", reject);
            thread.on("message", (message) => {
                if (message.began) seen.began = Math.min(seen.began, message.began);
                if (message.last) {
                    seen.last = message.last;
                    for (const each of started) each.postMessage("stop");
                }
            });
            thread.on("exit", () => {
                running -= 1;
                if (running > 0) return;
                clearTimeout(late);
                resolve(seen);
            });
        }
    });
    new Marks(marks).check();
    const client = await module.open(url, settings, 1);
    const left = await client.left();
    if (left > 0) throw new Error(`${left} of ${jobs} jobs ran, but are not recorded as completed`);
    await client.close();
    print("batch1000.drain", jobs, times.last - times.began);
}

async function workInThread() {
    const marks = new Marks(workerData.marks, (seen) => parentPort.postMessage(seen));
    const worker = await module.connect(url, settings, (args) => marks.ran(args));
    const stop = new Promise((resolve) => parentPort.once("message", resolve));
    parentPort.postMessage({ began: now() });
    await worker.work();
    await stop;
    await worker.stop();
    parentPort.close();
}

function print(measureName, jobs, milliseconds, latencies = []) {
    latencies.sort((one, other) => one - other);
    const percentile = (percent) => {
        const value = latencies[Math.round(((latencies.length - 1) * percent) / 100)];
        return value === undefined ? null : Number(value.toFixed(3));
    };
    console.log(JSON.stringify({
        peer: module.name,
        measure: measureName,
        value: Math.round((jobs * 1_000) / milliseconds),
        unit: "jobs/s",
        p50_ms: percentile(50),
        p99_ms: percentile(99),
    }));
}
