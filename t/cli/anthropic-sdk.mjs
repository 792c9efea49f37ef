// The @anthropic-ai/sdk for anthropic-sdk.t: a line of JSON on stdin says what
// to do, {"do": name, …}, one on stdout what came of it. The arguments are the
// package, the base URL and a key.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.env.CLIBRIDGE_CLIS}/`);
const [name, baseURL, apiKey] = process.argv.slice(2);
const { Anthropic } = require(name);

let sent;    // headers of the last request

const client = (options) => new Anthropic({
    baseURL, apiKey, maxRetries: 0, timeout: 20000,
    fetch: (url, init) => {
        sent = Object.fromEntries(new Headers(init.headers));
        return fetch(url, init);
    },
    ...options,
});

const actions = {
    async create({ options, body }) {
        const message = await client(options).messages.create(body);
        return { ...message, request_id: message._request_id, sent };
    },

    /** Leaves after `leave` words, if that is given. */
    async stream({ options, body, leave }) {
        const stream = client(options).messages.stream(body);
        const got = { words: 0, text: '', thinking: '', events: [] };
        stream.on('streamEvent', ({ type }) => got.events.push(type));
        stream.on('thinking', (piece) => { got.thinking += piece; });
        stream.on('text', (piece) => {
            got.text += piece;
            if (++got.words === leave) {
                stream.abort();
            }
        });
        try {
            got.message = await stream.finalMessage();
        }
        catch (error) {
            Object.assign(got, failure(error));
        }
        return got;
    },

    async count({ options, body }) {
        return await client(options).messages.countTokens(body);
    },

    /** The helper that runs tools by itself. */
    async run({ options, body }) {
        const ran = [];
        const message = await client(options).beta.messages.toolRunner({
            ...body,
            tools: body.tools.map((tool) => ({
                ...tool,
                parse: (input) => input,
                run: (input) => {
                    ran.push({ name: tool.name, input });
                    return `ran ${tool.name}`;
                },
            })),
        });
        return { ...message, ran };
    },

    async models({ options }) {
        const ids = [];
        for await (const model of client(options).models.list()) {
            ids.push(model.id);
        }
        return { ids };
    },
};

const failure = (error) => ({
    error: error.constructor.name, status: error.status ?? null,
    type: error.error?.error?.type ?? null, message: error.message,
    request_id: error.requestID ?? null,
});

for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    const result = await actions[order.do](order).catch(failure);
    console.log(JSON.stringify(result));
}
