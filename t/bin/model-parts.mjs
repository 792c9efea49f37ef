// What the APIs of the scripted model have in common.

import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';

export const newId = (kind) => `${kind}_${randomBytes(12).toString('hex')}`;

/** Every text in a JSON value, but not in the members called `wordless`. */
export function* textsIn(value, wordless, key = '') {
    if (wordless.has(key)) {
        return;
    }
    if (typeof value === 'string') {
        yield value;
    }
    else if (value && typeof value === 'object') {
        for (const [inner, one] of Object.entries(value)) {
            yield* textsIn(one, wordless, Array.isArray(value) ? '' : inner);
        }
    }
}

export const countTokens = (context) => Math.ceil(
    context.seen.reduce((sum, text) => sum + text.length, 0) / 4);

/** The token numbers of an answer: those asked for, or about right. */
export const numbersOf = ({ usage, deltas, calls }, context) => ({
    input: usage?.input ?? countTokens(context),
    output: usage?.output ?? deltas.length + calls.length,
    cached: usage?.cached ?? 0,
    reasoned: usage?.reasoned ?? 0,
});

/** Cuts between characters: half a surrogate pair is no JSON text. */
export const pieces = (text, size) => [...text].reduce((list, char, i) => {
    i % size ? list[list.length - 1] += char : list.push(char);
    return list;
}, []);

/** The texts of deltas, each at its time, as long as the client is there. */
export async function* spoken(deltas, exchange) {
    for (const { text, delay } of deltas) {
        // No timer without a delay: thousands of deltas must be fast.
        if (delay) {
            await wait(delay, null, { signal: exchange.gone });
        }
        yield text;
    }
}

export const secondsUntil = (epoch) =>
    Math.max(1, Math.ceil(epoch - Date.now() / 1000));
