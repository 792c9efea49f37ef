// A scripted model behind the Anthropic Messages API, for loopback tests.
//
//   node model-server.mjs --port N --log FILE
//
// --port 0 lets the system choose; the first line on stdout is
// "listening PORT". What the model says is decided by markers in the prompt,
// see markers.mjs. Streams and whole answers, tools, images, thinking (if the
// request enables it), output_config.format, stop_sequences and tool_choice
// behave as in the real API; max_tokens is ignored, the marker
// [[finish:length]] stands for it. Keys and model names are not checked.
//
// The log gets one JSON line per request when it has arrived and one when it
// is over. Both are on disk before the client can see the answer's end:
//
//   {"n":1,"t":ms,"method":…,"path":…,"headers":{…},"body":{…}}
//   {"n":1,"end":"done" | "closed","t":ms}     closed: the client left first

import { randomBytes } from 'node:crypto';
import { openSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { plan } from './markers.mjs';

const STOP_REASONS = {
    length: 'max_tokens',
    stop: 'end_turn',
    content_filter: 'refusal',
    tool_calls: 'tool_use',
};

const ERROR_TYPES = {
    400: 'invalid_request_error',
    401: 'authentication_error',
    403: 'permission_error',
    404: 'not_found_error',
    413: 'request_too_large',
    429: 'rate_limit_error',
    529: 'overloaded_error',
};

const newId = (kind) => `${kind}_${randomBytes(12).toString('hex')}`;

const errorBody = (status, message) => ({
    type: 'error',
    error: {
        type: ERROR_TYPES[status] ??
            (status < 500 ? 'invalid_request_error' : 'api_error'),
        message,
    },
    request_id: newId('req'),
});

/* ---- from the request to the context of plan() ---- */

/** Text the CLI adds on its own behalf is read, but is not the user's. */
const isReminder = (text) => text.startsWith('<system-reminder>');

const blocks = (content) => typeof content === 'string'
    ? [{ type: 'text', text: content }] : content ?? [];

const textOf = (content) => blocks(content)
    .map((block) => block.text ?? '').join('');

/** The conversation as turns; the text blocks of one message are one text. */
function turnsOf(messages) {
    const turns = [];
    for (const { role, content } of messages) {
        let text = null;
        for (const block of blocks(content)) {
            if (role === 'user' && block.type === 'tool_result') {
                turns.push({ from: 'tool', text: textOf(block.content) });
                text = null;
            }
            else if (role === 'user' && block.type === 'text' &&
                     !isReminder(block.text)) {
                if (!text) {
                    turns.push(text = { from: 'user', text: '' });
                }
                text.text += block.text;
            }
        }
        if (role === 'assistant') {
            turns.push({ from: 'model', text: textOf(content) });
        }
    }
    return turns;
}

/** Members that hold no words: a search must not find "user" in a role. */
const WORDLESS = new Set(['type', 'role', 'id', 'tool_use_id', 'model',
                          'cache_control', 'media_type', 'data', 'signature']);

/** Every text in a JSON value. */
function* textsIn(value, key = '') {
    if (WORDLESS.has(key)) {
        return;
    }
    if (typeof value === 'string') {
        yield value;
    }
    else if (value && typeof value === 'object') {
        for (const [inner, one] of Object.entries(value)) {
            yield* textsIn(one, Array.isArray(value) ? '' : inner);
        }
    }
}

/** Images anywhere in the conversation, also inside tool results. */
function imagesIn(content) {
    return blocks(content).reduce((sum, block) =>
        sum + (block.type === 'image') +
        (block.type === 'tool_result' ? imagesIn(block.content) : 0), 0);
}

function contextOf(body) {
    const choice = body.tool_choice ?? {};
    const tools = choice.type === 'none' ? [] : (body.tools ?? [])
        .map((tool) => ({ name: tool.name, schema: tool.input_schema }));
    const forced = choice.type === 'any' ? tools[0]
        : choice.type === 'tool' &&
          tools.find((tool) => tool.name === choice.name);

    return {
        turns: turnsOf(body.messages ?? []),
        seen: [...textsIn([body.system, body.messages, body.tools])],
        tools,
        images: (body.messages ?? []).reduce(
            (sum, message) => sum + imagesIn(message.content), 0),
        forced,
        schema: body.output_config?.format?.schema,
    };
}

const countTokens = (context) => Math.ceil(
    context.seen.reduce((sum, text) => sum + text.length, 0) / 4);

/* ---- from the plan to an answer of this API ---- */

/** Cuts the deltas before the first stop sequence and returns that one. */
function cutAt(deltas, sequences) {
    const text = deltas.map((delta) => delta.text).join('');
    const [first] = sequences.filter((one) => one && text.includes(one))
        .sort((a, b) => text.indexOf(a) - text.indexOf(b));
    if (!first) {
        return null;
    }
    let left = text.indexOf(first);
    for (const [i, delta] of deltas.entries()) {
        delta.text = delta.text.slice(0, left);
        left -= delta.text.length;
        if (!left) {
            deltas.length = delta.text ? i + 1 : i;
            break;
        }
    }
    return first;
}

/** The planned turn with everything the request itself has a say in. */
function answerOf(body, context) {
    const answer = plan(context);

    if (!['enabled', 'adaptive'].includes(body.thinking?.type)) {
        answer.think = '';
    }
    if (body.tool_choice?.disable_parallel_tool_use) {
        answer.calls.length = Math.min(answer.calls.length, 1);
    }
    answer.stopSequence = cutAt(answer.deltas, body.stop_sequences ?? []);
    if (answer.stopSequence) {
        answer.calls = [];
        answer.stopReason = 'stop_sequence';
    }
    else {
        answer.stopReason = STOP_REASONS[answer.finish] ?? answer.finish ??
            (answer.calls.length ? 'tool_use' : 'end_turn');
    }
    answer.input = answer.usage?.input ?? countTokens(context);
    answer.output = answer.usage?.output ??
        answer.deltas.length + answer.calls.length;
    return answer;
}

const usageOf = (answer, output) => ({
    input_tokens: answer.input,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    cache_creation: {
        ephemeral_5m_input_tokens: 0,
        ephemeral_1h_input_tokens: 0,
    },
    output_tokens: output,
    service_tier: 'standard',
});

const messageOf = (body, rest) => ({
    id: newId('msg'),
    type: 'message',
    role: 'assistant',
    model: body.model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    ...rest,
});

const toolUse = (name) => ({
    type: 'tool_use',
    id: newId('toolu'),
    name,
    input: {},
    caller: { type: 'direct' },
});

/** The whole answer at once. */
function wholeMessage(body, answer) {
    const content = [];
    if (answer.think) {
        content.push({ type: 'thinking', thinking: answer.think,
                       signature: 'c2lnbmVk' });
    }
    if (answer.deltas.length) {
        content.push({ type: 'text', text: answer.deltas
            .map((delta) => delta.text).join('') });
    }
    for (const { name, args } of answer.calls) {
        content.push({ ...toolUse(name), input: JSON.parse(args) });
    }
    return messageOf(body, {
        content,
        stop_reason: answer.stopReason,
        stop_sequence: answer.stopSequence,
        usage: usageOf(answer, answer.output),
    });
}

/** Cuts between characters: half a surrogate pair is no JSON text. */
const pieces = (text, size) => [...text].reduce((list, char, i) => {
    i % size ? list[list.length - 1] += char : list.push(char);
    return list;
}, []);

/** Writes the answer as events; a fault leaves it by an exception. */
async function stream(exchange, body, answer) {
    const { fault } = answer;
    const send = (type, data) => exchange.send(type, { type, ...data });
    let index = 0;

    const block = async (content_block, deltas) => {
        send('content_block_start', { index, content_block });
        if (!index) {
            send('ping');
        }
        for await (const delta of deltas) {
            send('content_block_delta', { index, delta });
        }
        send('content_block_stop', { index });
        index++;
    };

    exchange.head(200, 'text/event-stream; charset=utf-8');
    send('message_start', {
        message: messageOf(body, { usage: usageOf(answer, 1) }),
    });

    if (answer.think) {
        await block({ type: 'thinking', thinking: '', signature: '' }, [
            { type: 'thinking_delta', thinking: answer.think },
            { type: 'signature_delta', signature: 'c2lnbmVk' },
        ]);
    }

    if (answer.deltas.length || fault) {
        // A fault ends this block without content_block_stop, as a dying
        // server would.
        const words = fault ? answer.deltas.slice(0, fault.after)
                            : answer.deltas;
        await block({ type: 'text', text: '' }, async function* () {
            for (const { text, delay } of words) {
                // No timer without a delay: thousands of deltas must be fast.
                if (delay) {
                    await wait(delay, null, { signal: exchange.gone });
                }
                yield { type: 'text_delta', text };
            }
            if (fault) {
                await exchange.fail(fault);
            }
        }());
    }

    for (const { name, args } of answer.calls) {
        await block(toolUse(name),
            ['', ...pieces(args, 12)].map((partial_json) => (
                { type: 'input_json_delta', partial_json })));
    }

    const { cache_creation, service_tier, ...usage } =
        usageOf(answer, answer.output);
    send('message_delta', {
        delta: { stop_reason: answer.stopReason,
                 stop_sequence: answer.stopSequence },
        usage,
    });
    send('message_stop');
    exchange.end();
}

/* ---- one request and its answer ---- */

/** Thrown to leave an answer that a fault has ended. */
class Over extends Error {}

/** A response that keeps the log, and the ways it can go wrong. */
class Exchange {
    #request;
    #response;
    #over = false;
    #left = new AbortController();

    constructor(request, response, n) {
        this.#request = request;
        this.#response = response;
        this.n = n;
        this.gone = this.#left.signal;
        response.on('error', () => {});     /* written to a closed socket */
        response.on('close', () => {
            this.#close('closed');
            this.#left.abort();
        });
    }

    /** The log line comes before the last byte, so a test can rely on it. */
    #close(how) {
        if (!this.#over) {
            this.#over = true;
            log({ n: this.n, end: how, t: elapsed() });
        }
    }

    head(status, type, headers = {}) {
        this.#response.writeHead(status, {
            'content-type': type,
            'cache-control': 'no-cache',
            'request-id': newId('req'),
            ...headers,
        });
    }

    send(event, data) {
        this.#response.write(
            `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    }

    json(status, value, headers) {
        this.head(status, 'application/json', headers);
        this.end(JSON.stringify(value));
    }

    end(text) {
        this.#close('done');
        this.#response.end(text);
    }

    /** Carries out a fault; never returns normally. */
    async fail({ op, status, after, reset }) {
        switch (op) {
        case 'error':
            this.#error(status, after !== undefined);
            break;
        case 'quota':
            this.json(429, errorBody(429, 'This request would exceed your ' +
                "account's rate limit. Please try again later."),
                quotaHeaders(reset));
            break;
        case 'drop':
            // Wait until what was written has left; destroy() forgets it.
            await new Promise((done) => this.#response.write(':\n\n', done));
            this.#close('done');
            this.#request.socket.destroy();
            break;
        default:                                /* stall and hang */
            await new Promise((done) => this.gone.aborted ? done()
                : this.gone.addEventListener('abort', done));
        }
        throw new Over();
    }

    #error(status, streaming) {
        const message = `scripted error ${status}`;
        if (streaming && this.#response.headersSent) {
            this.send('error', errorBody(status, message));
            this.end();
        }
        else {
            this.json(status, errorBody(status, message),
                      status === 429 ? { 'retry-after': '1' } : {});
        }
    }
}

/** What the API says when the five-hour window of a subscription is empty. */
function quotaHeaders(reset) {
    const unified = {
        'status': 'rejected',
        'reset': reset,
        'representative-claim': 'five_hour',
        '5h-status': 'rejected',
        '5h-reset': reset,
        '5h-utilization': '1.0',
        'overage-status': 'rejected',
        'overage-disabled-reason': 'out_of_credits',
    };
    const seconds = Math.max(1, Math.ceil(reset - Date.now() / 1000));
    return Object.fromEntries([
        ['retry-after', seconds],
        ...Object.entries(unified).map(([name, value]) =>
            [`anthropic-ratelimit-unified-${name}`, value]),
    ]);
}

async function messages(exchange, body) {
    const answer = answerOf(body, contextOf(body));
    const { fault } = answer;

    if (answer.sleep) {
        await wait(answer.sleep, null, { signal: exchange.gone });
    }
    // Without a stream there are no deltas to wait for.
    if (fault && (fault.after === undefined || !body.stream)) {
        await exchange.fail(fault);
    }
    if (body.stream) {
        await stream(exchange, body, answer);
    }
    else {
        exchange.json(200, wholeMessage(body, answer));
    }
}

async function route(exchange, method, path, body) {
    const { pathname } = new URL(path, 'http://localhost');

    if (pathname === '/' && (method === 'GET' || method === 'HEAD')) {
        exchange.json(200, { status: 'ok' });
    }
    else if (method !== 'POST' || !pathname.startsWith('/v1/messages')) {
        exchange.json(404, errorBody(404, `no such path: ${pathname}`));
    }
    else if (!body || typeof body !== 'object') {
        exchange.json(400, errorBody(400, 'the body is not a JSON object'));
    }
    else if (pathname === '/v1/messages') {
        await messages(exchange, body);
    }
    else if (pathname === '/v1/messages/count_tokens') {
        exchange.json(200, { input_tokens: countTokens(contextOf(body)) });
    }
    else {
        exchange.json(404, errorBody(404, `no such path: ${pathname}`));
    }
}

async function read(request) {
    const chunks = [];
    for await (const chunk of request) {
        chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
}

/** What is not JSON stays text, for the log and a 400. */
function parsed(text) {
    try {
        return JSON.parse(text);
    }
    catch {
        return text || undefined;
    }
}

/* ---- the server ---- */

const { values: options } = parseArgs({ options: {
    port: { type: 'string', default: '0' },
    log: { type: 'string', default: '/dev/null' },
} });

const born = performance.now();
const elapsed = () => Math.round(performance.now() - born);
const logFile = openSync(options.log, 'a');
const log = (line) => writeSync(logFile, JSON.stringify(line) + '\n');

let requests = 0;

const server = createServer(async (request, response) => {
    const n = ++requests;
    const { method, url: path, headers } = request;
    const text = await read(request).catch(() => null);
    if (text === null) {
        return;                     /* the client left while it was sending */
    }
    const body = parsed(text);
    log({ n, t: elapsed(), method, path, headers, body });

    const exchange = new Exchange(request, response, n);
    try {
        await route(exchange, method, path, body);
    }
    catch (error) {
        if (!(error instanceof Over) && error.name !== 'AbortError') {
            // A mistake in this file must not look like a model's answer.
            console.error(error);
            request.socket.destroy();
        }
    }
});

// An idle connection that the server closes just as the client uses it again
// would make a test fail now and then: nothing ends here by time.
server.keepAliveTimeout = 0;
server.headersTimeout = 0;
server.requestTimeout = 0;

server.listen(Number(options.port), '127.0.0.1', () => {
    console.log(`listening ${server.address().port}`);
});
