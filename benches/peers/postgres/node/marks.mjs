// Which jobs ran, and when the last did; shared by the threads of a drain.

const RAN = 0; // Int32: how many ran
const TWICE = 1; // Int32: how many of these had run before

/** Marks for the jobs 0..count, as what can be sent to a thread. */
export function blank(count) {
    return { count, totals: new SharedArrayBuffer(8), jobs: new SharedArrayBuffer(count) };
}

export class Marks {
    #totals;
    #jobs;
    #count;
    #report;

    /** `report` is told { last: time } by the thread that runs the last. */
    constructor({ count, totals, jobs }, report = () => {}) {
        this.#totals = new Int32Array(totals);
        this.#jobs = new Uint8Array(jobs);
        this.#count = count;
        this.#report = report;
    }

    /** Says that this job runs now. */
    ran({ number, text }) {
        const index = Number(number);
        if (!(index < this.#count) || typeof text !== "string") {
            throw new Error(`job ${number} ran but was never enqueued`);
        }
        if (Atomics.add(this.#jobs, index, 1) > 0) Atomics.add(this.#totals, TWICE, 1);
        const before = Atomics.add(this.#totals, RAN, 1);
        if (before + 1 === this.#count) this.#report({ last: now() });
    }

    /** Fails unless each job ran once. */
    check() {
        const ran = this.#totals[RAN];
        const twice = this.#totals[TWICE];
        if (ran !== this.#count || twice > 0) {
            throw new Error(`of ${this.#count} jobs ${ran - twice} ran, ${twice} of them twice`);
        }
    }
}

/** Milliseconds of a clock that all threads share. */
export function now() {
    return Number(process.hrtime.bigint()) / 1e6;
}
