// The @google/genai SDK for google-sdk.t: a line of JSON on stdin says what to
// do, {"do": name, …}, one on stdout what came of it. The arguments are the base
// URL and a key.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.env.CLIBRIDGE_CLIS}/`);
const { GoogleGenAI } = require('@google/genai');
const [baseUrl, key] = process.argv.slice(2);

let sent;    // method and path of the last request, and where its key was

const client = ({ apiVersion, apiKey } = {}) => new GoogleGenAI({
    apiKey: apiKey ?? key, ...(apiVersion ? { apiVersion } : {}),
    httpOptions: {
        baseUrl, timeout: 20000,
        fetch: (url, init) => {
            const { pathname, search } = new URL(url);
            const headers = new Headers(init.headers);
            sent = { path: `${init.method} ${pathname}${search}`,
                     key: headers.get('x-goog-api-key') ? 'x-goog-api-key'
                                                        : null };
            return fetch(url, init);
        },
    },
});

const of = (response) => ({
    text: response.text, calls: response.functionCalls,
    parts: response.candidates?.[0]?.content?.parts,
    finish: response.candidates?.[0]?.finishReason,
    feedback: response.promptFeedback,
    usage: response.usageMetadata, model: response.modelVersion, sent,
});

/** Leaves after `leave` words, if that is given. */
async function gather(stream, leave, abort) {
    const got = { words: 0, text: '', thoughts: '', calls: [] };
    try {
        for await (const piece of stream) {
            const { parts = [] } = piece.candidates?.[0]?.content ?? {};
            for (const { text, thought, functionCall } of parts) {
                if (functionCall) { got.calls.push(functionCall); }
                if (thought) { got.thoughts += text; }
                else if (text) { got.text += text; got.words++; }
            }
            got.finish = piece.candidates?.[0]?.finishReason ?? got.finish;
            got.usage = piece.usageMetadata ?? got.usage;
            if (got.words === leave) {
                abort.abort();
                break;
            }
        }
    }
    catch (error) {
        Object.assign(got, failure(error));
    }
    return got;
}

const actions = {
    async create({ options, body }) {
        return of(await client(options).models.generateContent(body));
    },

    async stream({ options, body, leave }) {
        const abort = new AbortController();
        const config = { ...body.config, abortSignal: abort.signal };
        const stream = await client(options).models
            .generateContentStream({ ...body, config });
        return await gather(stream, leave, abort);
    },

    /** A conversation that the SDK keeps: prompts, or results of its calls. */
    async chat({ options, body: { prompts, ...body }, streamed }) {
        const chat = client(options).chats.create(body);
        const answers = [];
        for (const message of prompts) {
            answers.push(streamed
                ? await gather(await chat.sendMessageStream({ message }))
                : of(await chat.sendMessage({ message })));
        }
        return { answers, history: chat.getHistory(true) };
    },

    /** Functions that the SDK calls by itself. */
    async run({ options, body, names }) {
        const ran = [];
        const tool = {
            tool: async () => ({ functionDeclarations: names.map((name) => ({
                name, parametersJsonSchema: { type: 'object' } })) }),
            callTool: async (calls) => calls.map(({ id, name, args }) => {
                ran.push({ name, args });
                return { functionResponse: { id, name,
                         response: { output: `ran ${name}` } } };
            }),
        };
        const response = await client(options).models.generateContent({
            ...body, config: { ...body.config, tools: [tool] } });
        return { ...of(response), ran };
    },

    async count({ options, body }) {
        return await client(options).models.countTokens(body);
    },

    async models({ options, get }) {
        const ai = client(options).models;
        const names = [];
        for await (const { name } of await ai.list()) {
            names.push(name);
        }
        const list = sent;
        const one = await ai.get({ model: get });
        return { names, list, one, sent };
    },
};

const failure = (error) => {
    let of;
    try {
        of = JSON.parse(error.message.replace(/^got status: \w+\. /, '')).error;
    }
    catch { /* not the server's */ }
    return { error: error.constructor.name, status: error.status ?? null,
             name: of?.status ?? null, message: of?.message ?? error.message };
};

for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    const result = await actions[order.do](order).catch(failure);
    console.log(JSON.stringify(result));
}
