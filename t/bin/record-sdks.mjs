// The libraries of record-clients.mjs, each used as its manual says: the loop
// of an application that keeps the history itself.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { record } from './record-server.mjs';
import { talks } from './record-talks.mjs';

const STEPS = 8;

const FILES = {
    'notes.txt': '  first line\n\tsecond – Grüße 👋\r\n\n',
    'src/main.py': 'print("hi")\n',
};

/** What the tools of the application do. */
const execute = {
    read: ({ path }) => FILES[path] ?? `no such file: ${path}`,
    list: () => JSON.stringify(Object.keys(FILES)),
    shell: ({ command }) => `\n$ ${command}\n3 \n`,
    write: () => '',
};

const text = { type: 'string' };

const schema = (properties, required = Object.keys(properties)) =>
    ({ type: 'object', properties, required });

const schemas = {
    read: schema({ path: text, limit: { type: 'number' } }, ['path']),
    list: schema({}),
    shell: schema({ command: text }),
    write: schema({ path: text, content: text }),
};

const describe = (name) => `This is ${name}.`;

/** The calls the model makes of them. */
const tool = {
    read: (path) => ({ name: 'read', arguments: { path, limit: 9 } }),
    list: () => ({ name: 'list', arguments: {} }),
    shell: (command) => ({ name: 'shell', arguments: { command } }),
    write: (path, content) => ({ name: 'write',
                                 arguments: { path, content } }),
};

const openaiTools = Object.entries(schemas).map(([name, parameters]) => ({
    type: 'function',
    function: { name, description: describe(name), parameters },
}));

const SYSTEM = 'You are helpful.\n';

function called({ name, arguments: args }) {
    try {
        return execute[name](JSON.parse(args || '{}'));
    }
    catch (error) {
        return `Error: ${error.message}`;
    }
}

const isChat = (talk) => /^(chat|tags|cut off|blank)$/.test(talk.name);

/**
 * Each application has each talk with a server of its own. An application is
 * made with the base URL and is then called with one prompt after the other.
 */
async function all(applications, wanted = () => true) {
    const found = [];
    for (const [name, application] of Object.entries(applications)) {
        for (const talk of talks(tool).filter((one) => wanted(name, one))) {
            const server = await record();
            const say = application(`http://127.0.0.1:${server.port}/v1`,
                                    talk);
            for (const { prompt, answers } of talk.steps) {
                server.queue.splice(0, server.queue.length, ...answers);
                try {
                    await say(prompt);
                }
                catch (error) {
                    console.error(`${name}: ${talk.name}: ${error.message}`);
                    break;
                }
            }
            server.close();
            found.push([`${name}: ${talk.name}`, server.turns]);
        }
    }
    return found;
}

/* ---- openai ---- */

async function openai(dir) {
    const { OpenAI } = createRequire(join(dir, 'x'))('openai');
    const client = (baseURL) =>
        new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });

    /** Chat completions in a loop; ask() returns the answer's message. */
    const loop = (ask) => (url, talk) => {
        const api = client(url);
        const messages = [{ role: 'system', content: SYSTEM }];
        const tools = isChat(talk) ? {} : { tools: openaiTools };

        return async (prompt) => {
            messages.push({ role: 'user', content: prompt });
            for (let i = 0; i < STEPS; i++) {
                const message = await ask(api, {
                    model: 'recorded', messages, ...tools,
                });
                messages.push(message);
                if (!message.tool_calls?.length) {
                    return;
                }
                for (const one of message.tool_calls) {
                    messages.push({ role: 'tool', tool_call_id: one.id,
                                    content: called(one.function) });
                }
            }
        };
    };

    const runner = (stream) => (url) => {
        const api = client(url);
        let messages = [{ role: 'developer', content: SYSTEM }];
        const tools = Object.entries(schemas).map(([name, parameters]) => ({
            type: 'function',
            function: { name, description: describe(name), parameters,
                        parse: JSON.parse, function: execute[name] },
        }));

        return async (prompt) => {
            messages.push({ role: 'user', content: prompt });
            const run = api.chat.completions.runTools({
                model: 'recorded', messages, tools, stream,
            });
            await run.done();
            messages = run.messages;
        };
    };

    /** Responses; the history is kept here, or (chained) by the server. */
    const responses = (stream, chained) => (url, talk) => {
        const api = client(url);
        let input = [];
        let last;
        const tools = isChat(talk) ? {} : {
            tools: openaiTools.map((one) => ({ type: 'function', strict: false,
                                               ...one.function })),
        };

        return async (prompt) => {
            input.push({ role: 'user', content: prompt });
            for (let i = 0; i < STEPS; i++) {
                const body = {
                    model: 'recorded', instructions: SYSTEM, input, ...tools,
                    ...chained && last && { previous_response_id: last },
                };
                const response = stream
                    ? await api.responses.stream(body).finalResponse()
                    : await api.responses.create(body);
                last = response.id;
                input = chained ? [] : [...input, ...response.output];
                const calls = response.output.filter(
                    (one) => one.type === 'function_call');
                if (calls.length === 0) {
                    return;
                }
                input.push(...calls.map((one) => ({
                    type: 'function_call_output', call_id: one.call_id,
                    output: called(one),
                })));
            }
        };
    };

    return all({
        'create': loop(async (api, body) =>
            (await api.chat.completions.create(body)).choices[0].message),
        'stream by hand': loop(async (api, body) => {
            const message = { role: 'assistant', content: '' };
            for await (const { choices: [choice] } of
                await api.chat.completions.create({ ...body, stream: true })) {
                message.content += choice?.delta.content ?? '';
                for (const one of choice?.delta.tool_calls ?? []) {
                    message.tool_calls ??= [];
                    const whole = message.tool_calls[one.index] ??= {
                        id: one.id, type: 'function',
                        function: { name: one.function.name, arguments: '' },
                    };
                    whole.function.arguments += one.function.arguments;
                }
            }
            return message;
        }),
        'stream()': loop(async (api, body) =>
            api.chat.completions.stream(body).finalMessage()),
        'runTools': runner(false),
        'runTools, stream': runner(true),
        'responses': responses(false),
        'responses.stream()': responses(true),
        'responses, previous_response_id': responses(false, true),
    }, (name, talk) => name.startsWith('stream') || name === 'create' ||
        /^(tools|odd arguments|chat)$/.test(talk.name));
}

/* ---- Vercel's ai ---- */

async function aisdk(dir) {
    const require = createRequire(join(dir, 'x'));
    const ai = require('ai');
    const { createOpenAI } = require('@ai-sdk/openai');
    const { createOpenAICompatible } = require('@ai-sdk/openai-compatible');
    globalThis.AI_SDK_LOG_WARNINGS = false;

    const tools = Object.fromEntries(Object.entries(schemas).map(
        ([name, one]) => [name, ai.tool({
            description: describe(name), inputSchema: ai.jsonSchema(one),
            execute: execute[name],
        })]));
    const models = {
        compatible: (baseURL) => createOpenAICompatible({
            name: 'rec', baseURL, apiKey: 'none' })('recorded'),
        openai: (baseURL) => createOpenAI({ baseURL, apiKey: 'none' })
            .chat('recorded'),
        responses: (baseURL) => createOpenAI({ baseURL, apiKey: 'none' })
            .responses('recorded'),
    };
    const options = (model, talk, messages) => ({
        model, messages, maxRetries: 0, instructions: SYSTEM,
        ...!isChat(talk) && { tools, stopWhen: ai.stepCountIs(STEPS) },
    });

    const generate = (of) => (url, talk) => {
        const messages = [];
        return async (prompt) => {
            messages.push({ role: 'user', content: prompt });
            const { responseMessages } = await ai.generateText(
                options(of(url), talk, messages));
            messages.push(...responseMessages);
        };
    };
    const stream = (of) => (url, talk) => {
        const messages = [];
        return async (prompt) => {
            messages.push({ role: 'user', content: prompt });
            const result = ai.streamText(options(of(url), talk, messages));
            await result.consumeStream();
            messages.push(...await result.responseMessages);
        };
    };
    const text = (of) => (url, talk) => {
        const messages = [];
        return async (prompt) => {
            messages.push({ role: 'user', content: prompt });
            const result = await ai.generateText(
                options(of(url), talk, messages));
            messages.push({ role: 'assistant', content: result.text });
        };
    };
    /* What useChat() and its route do. */
    const chat = (of) => (url, talk) => {
        const shown = [];
        return async (prompt) => {
            shown.push({ id: `u${shown.length}`, role: 'user',
                         parts: [{ type: 'text', text: prompt }] });
            const result = ai.streamText(options(
                of(url), talk, await ai.convertToModelMessages(shown)));
            let last;
            for await (const message of ai.readUIMessageStream({
                stream: result.toUIMessageStream() })) {
                last = message;
            }
            shown.push(JSON.parse(JSON.stringify(last)));
        };
    };

    return all({
        'compatible, generateText': generate(models.compatible),
        'compatible, generateText, text only': text(models.compatible),
        'compatible, streamText': stream(models.compatible),
        'compatible, useChat': chat(models.compatible),
        'openai.chat, generateText': generate(models.openai),
        'openai.chat, streamText': stream(models.openai),
        'openai.responses, streamText': stream(models.responses),
    }, (name, talk) => name === 'compatible, streamText' ||
        /^(chat|tools|odd arguments)$/.test(talk.name));
}

/* ---- LangChain ---- */

async function langchain(dir) {
    const require = createRequire(join(dir, 'x'));
    const { ChatOpenAI } = require('@langchain/openai');
    const { tool: define } = require('@langchain/core/tools');
    const { concat } = require('@langchain/core/utils/stream');
    const { createAgent } = require('langchain');

    const tools = Object.entries(schemas).map(([name, one]) => define(
        execute[name], { name, description: describe(name), schema: one }));
    const model = (baseURL, more) => new ChatOpenAI({
        model: 'recorded', apiKey: 'none', maxRetries: 0,
        configuration: { baseURL }, ...more,
    });

    const plain = (ask) => (url) => {
        const messages = [{ role: 'system', content: SYSTEM }];
        return async (prompt) => {
            messages.push({ role: 'user', content: prompt });
            messages.push(await ask(model(url), messages));
        };
    };
    const agent = (streamMode, more) => (url, talk) => {
        const runs = createAgent({
            model: model(url, more), systemPrompt: SYSTEM,
            tools: isChat(talk) ? [] : tools,
        });
        let messages = [];
        return async (prompt) => {
            messages.push({ role: 'user', content: prompt });
            for await (const [mode, state] of await runs.stream(
                { messages }, { streamMode })) {
                messages = mode === 'values' ? state.messages : messages;
            }
        };
    };

    return all({
        'invoke': plain((api, messages) => api.invoke(messages)),
        'stream': plain(async (api, messages) => {
            let whole;
            for await (const chunk of await api.stream(messages)) {
                whole = whole ? concat(whole, chunk) : chunk;
            }
            return whole;
        }),
        'agent': agent(['values']),
        'agent, stream': agent(['values', 'messages']),
        'agent, responses': agent(['values'], { useResponsesApi: true }),
    }, (name, talk) => name === 'agent' ? true
        : name.startsWith('agent') ? /^(chat|tools)$/.test(talk.name)
            : talk.name === 'chat');
}

/* ---- OpenAI's agents ---- */

async function agents(dir) {
    const require = createRequire(join(dir, 'x'));
    const { Agent, Runner, OpenAIProvider, tool: define,
            setTracingDisabled } = require('@openai/agents');
    setTracingDisabled(true);

    const tools = Object.entries(schemas).map(([name, parameters]) => define({
        name, description: describe(name), strict: false,
        parameters: { ...parameters, additionalProperties: true },
        execute: async (args) => execute[name](args ?? {}),
    }));
    const application = (useResponses, stream) => (baseURL, talk) => {
        const runner = new Runner({ modelProvider: new OpenAIProvider({
            baseURL, apiKey: 'none', useResponses }) });
        const agent = new Agent({
            name: 'rec', instructions: SYSTEM, model: 'recorded',
            tools: isChat(talk) ? [] : tools,
        });
        let history = [];
        return async (prompt) => {
            history.push({ role: 'user', content: prompt });
            const result = await runner.run(agent, history, { stream });
            if (stream) {
                await result.completed;
            }
            history = result.history;
        };
    };

    return all({
        'chat': application(false, false),
        'chat, stream': application(false, true),
        'responses': application(true, false),
    }, (name, talk) => /^(chat|tools|odd arguments)$/.test(talk.name));
}

export const sdks = {
    openai: { package: 'openai', talks: openai },
    aisdk: { package: ['ai', '@ai-sdk/openai-compatible', '@ai-sdk/openai'],
             talks: aisdk },
    langchain: { package: ['langchain', '@langchain/openai'],
                 talks: langchain },
    agents: { package: '@openai/agents', talks: agents },
};
