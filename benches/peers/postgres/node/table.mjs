// Medians of all rounds, and Taskwright over the best peer.
//
// node table.mjs FIGURES LOAD_BEFORE LOAD_AFTER [--json], where FIGURES is a file of JSON lines.

import { readFileSync } from "node:fs";

const MEASURES = ["batch1000.enqueue", "batch1000.drain", "single.enqueue", "concurrent64.enqueue"];
const OURS = "Taskwright";
const OUR_PREFIX = "postgres.inprocess.";

const [file, loadBefore, loadAfter, form] = process.argv.slice(2);
const figures = readFileSync(file, "utf8").split("\n").filter(Boolean).map(read);
const everybody = [...new Set(figures.map(({ peer }) => peer))];
const peers = everybody.filter((peer) => peer !== OURS);
const rows = MEASURES.map(row);

if (form === "--json") printLines();
else printTable();

/** A figure of a peer, or of `taskwright bench`, which names it otherwise. */
function read(line) {
    const figure = JSON.parse(line);
    if (figure.peer) return figure;
    if (!figure.name?.startsWith(OUR_PREFIX)) throw new Error(`whose figure is this: ${line}`);
    return { ...figure, peer: OURS, measure: figure.name.slice(OUR_PREFIX.length) };
}

function row(measure) {
    const medians = {};
    for (const peer of everybody) {
        const rounds = figures.filter((figure) => figure.peer === peer && figure.measure === measure);
        const of = (field) => median(rounds.map((figure) => figure[field]).filter((it) => it != null));
        medians[peer] = { value: of("value"), p50: of("p50_ms"), p99: of("p99_ms"), rounds };
    }
    const best = peers.toSorted((one, other) => medians[other].value - medians[one].value)[0];
    const ratio = medians[OURS]?.value / medians[best].value;
    return { measure, medians, best, ratio: Number.isFinite(ratio) ? ratio : null };
}

function median(values) {
    const sorted = values.toSorted((one, other) => one - other);
    const middle = (sorted.length - 1) / 2;
    return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
}

function printTable() {
    const columns = [...peers, OURS];
    const print = (first, cells) =>
        console.log([first.padEnd(22), ...cells.map((cell) => cell.padStart(17))].join(" "));
    print("jobs/s", [...columns, "Taskwright ÷ best"]);
    for (const { measure, medians, best, ratio } of rows) {
        const rates = columns.map((peer) => {
            const mark = peer === best ? "*" : "";
            return mark + rounded(medians[peer]?.value);
        });
        print(measure, [...rates, ratio === null ? "–" : `${ratio.toFixed(2)}x`]);
    }
    console.log();
    print("p50 / p99 ms of a call", columns);
    for (const { measure, medians } of rows) {
        const times = columns.map((peer) => {
            const { p50, p99 } = medians[peer] ?? {};
            return p50 >= 0 ? `${p50.toFixed(2)} / ${p99.toFixed(2)}` : "–";
        });
        print(measure, times);
    }
    console.log(`
Medians of the rounds; * is the best peer.
Load averages of the machine: ${loadBefore} before, ${loadAfter} after.`);
    if (!everybody.includes(OURS)) console.log("*** TASKWRIGHT WAS NOT MEASURED, ONLY ITS PEERS. ***");
}

function printLines() {
    const print = (object) => console.log(JSON.stringify(object));
    for (const { measure, medians, best, ratio } of rows) {
        for (const [peer, { value, p50, p99, rounds }] of Object.entries(medians)) {
            const all = rounds.map((round) => round.value);
            const maybe = (time) => (Number.isFinite(time) ? time : null);
            print({ peer, measure, value, unit: "jobs/s", p50_ms: maybe(p50), p99_ms: maybe(p99), rounds: all });
        }
        if (ratio !== null) print({ name: `taskwright_over_best.${measure}`, value: ratio, unit: "x", best });
    }
    for (const [name, load] of Object.entries({ "load.before": loadBefore, "load.after": loadAfter })) {
        print({ name, value: Number.parseFloat(load), unit: "load" });
    }
}

function rounded(value) {
    return Number.isFinite(value) ? Math.round(value).toLocaleString("en") : "–";
}
