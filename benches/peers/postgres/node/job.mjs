// The job that everybody gets: 200 bytes of JSON, with a number by which it is found again.

export const LENGTH = 200;

const DIGITS = 8;
const FILLER = "x".repeat(LENGTH - JSON.stringify({ number: "0".repeat(DIGITS), text: "" }).length);

/** The job with this number (below 10⁸). */
export function job(number) {
    return { number: String(number).padStart(DIGITS, "0"), text: FILLER };
}

/** The jobs of these numbers, `size` at a time. */
export function* batches(count, size) {
    for (let first = 0; first < count; first += size) {
        yield Array.from({ length: Math.min(size, count - first) }, (_, i) => job(first + i));
    }
}
