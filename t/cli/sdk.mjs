// The openai SDK for openai-sdk.t: a line of JSON on stdin says what to do,
// {"do": name, …}, one on stdout what came of it. The arguments are the base
// URL and a key.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.env.CLIBRIDGE_CLIS}/`);
const OpenAI = require('openai');

const [baseURL, apiKey] = process.argv.slice(2);

const client = (options) => new OpenAI({
    baseURL, apiKey, maxRetries: 0, timeout: 20000, ...options,
});

const actions = {
    async create({ options, body }) {
        const answer = await client(options).chat.completions.create(body);
        return { ...answer, request_id: answer._request_id };
    },

    /** Leaves after `leave` words, if that is given. */
    async stream({ options, body, leave }) {
        const stream = await client(options).chat.completions
            .create({ ...body, stream: true });
        const got = { words: 0, text: '' };
        try {
            for await (const { choices: [choice], usage } of stream) {
                got.usage = usage ?? got.usage;
                got.finish = choice?.finish_reason ?? got.finish;
                if (choice?.delta.content) {
                    got.text += choice.delta.content;
                    if (++got.words === leave) {
                        stream.controller.abort();
                    }
                }
            }
        }
        catch (error) {
            Object.assign(got, failure(error));
        }
        return got;
    },

    /** With the helper that puts the chunks together. */
    async gather({ options, body }) {
        const stream = client(options).chat.completions.stream(body);
        return await stream.finalChatCompletion();
    },

    async respond({ options, body }) {
        const answer = await client(options).responses.create(body);
        return { ...answer, request_id: answer._request_id };
    },

    /** Events as they come, and what the helper puts together. */
    async respondStream({ options, body, leave }) {
        const stream = client(options).responses.stream(body);
        const got = { words: 0, text: '', events: [] };
        try {
            for await (const event of stream) {
                got.events.push(event.type);
                if (event.type === 'response.output_text.delta') {
                    got.text += event.delta;
                    if (++got.words === leave) {
                        stream.abort();
                    }
                }
            }
            got.response = await stream.finalResponse();
        }
        catch (error) {
            Object.assign(got, failure(error));
        }
        return got;
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
    code: error.code ?? null, type: error.type ?? null,
    message: error.message, request_id: error.requestID ?? null,
});

for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    const result = await actions[order.do](order).catch(failure);
    console.log(JSON.stringify(result));
}
