// A scripted model for loopback tests, behind the Anthropic Messages API
// (POST /v1/messages), the OpenAI Responses API (/v1/responses), the OpenAI
// Chat Completions API (/v1/chat/completions) and the Gemini API
// (/v1beta/models/NAME:generateContent and :streamGenerateContent).
//
//   node model-server.mjs --port N --log FILE
//
// --port 0 lets the system choose; the first line on stdout is
// "listening PORT". What the model says is decided by markers in the prompt,
// see markers.mjs; what of an API is there, in the API's own file. Keys and
// model names are not checked.
//
// The log gets one JSON line per request when it has arrived and one when it
// is over. Both are on disk before the client can see the answer's end:
//
//   {"n":1,"t":ms,"method":…,"path":…,"headers":{…},"body":{…}}
//   {"n":1,"end":"done" | "closed","t":ms}     closed: the client left first

import { openSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { anthropic } from './model-anthropic.mjs';
import { gemini } from './model-gemini.mjs';
import { openai } from './model-openai.mjs';
import { newId } from './model-parts.mjs';
import { responses } from './model-responses.mjs';

// An API has:
//   path                 where it answers, or what its paths begin with:
//   asked(path, body)    then, what is asked for there, if it is an answer
//   other(path, body)    what else it knows, or nothing
//   requestId            the header that names a request
//   problem(status, message), quota(reset)
//                        {status, headers, body}: how it says a failure
//   answerOf(body)       plan() of markers.mjs, and what the request wants
//   stream(exchange, body, answer), whole(exchange, body, answer)
//                        the answer in the API's form: sent, or returned
const APIS = [anthropic, responses, openai, gemini];

/** Thrown to leave an answer that a fault has ended. */
class Over extends Error {}

/** As JSON, without two characters that Google's SDK takes for ends of lines. */
const encode = (value) => JSON.stringify(value).replace(/[\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt().toString(16)}`);

/** A response that keeps the log, and the ways it can go wrong. */
class Exchange {
    #request;
    #response;
    #api;
    #over = false;
    #left = new AbortController();

    constructor(request, response, n, api) {
        this.#request = request;
        this.#response = response;
        this.#api = api;
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
            [this.#api.requestId]: newId('req'),
            ...headers,
        });
    }

    write(text) {
        this.#response.write(text);
    }

    /** Some APIs' events have no name. */
    send(event, data) {
        this.write(`${event ? `event: ${event}\n` : ''}` +
            `data: ${encode(data)}\n\n`);
    }

    json(status, value, headers) {
        this.head(status, 'application/json', headers);
        this.end(JSON.stringify(value));
    }

    problem({ status, headers, body }) {
        this.json(status, body, headers);
    }

    end(text) {
        this.#close('done');
        this.#response.end(text);
    }

    /**
     * Carries out a fault; never returns normally. `sendProblem` says an
     * error in a stream that has begun.
     */
    async fail({ op, status, after, reset }, sendProblem) {
        switch (op) {
        case 'error':
            this.#error(status, after !== undefined && sendProblem);
            break;
        case 'quota':
            this.problem(this.#api.quota(reset));
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

    #error(status, sendProblem) {
        const problem = this.#api.problem(status, `scripted error ${status}`);
        if (sendProblem && this.#response.headersSent) {
            sendProblem(problem);
            this.end();
        }
        else {
            this.problem(problem);
        }
    }
}

async function speak(exchange, api, body) {
    const answer = api.answerOf(body);
    const { fault } = answer;

    if (answer.sleep) {
        await wait(answer.sleep, null, { signal: exchange.gone });
    }
    // Without a stream there are no deltas to wait for.
    if (fault && (fault.after === undefined || !body.stream)) {
        await exchange.fail(fault);
    }
    if (body.stream) {
        await api.stream(exchange, body, answer);
    }
    else {
        exchange.json(200, await api.whole(exchange, body, answer));
    }
}

async function route(exchange, api, method, pathname, body) {
    const refuse = (status, message) =>
        exchange.problem(api.problem(status, message));

    if (pathname === '/' && (method === 'GET' || method === 'HEAD')) {
        exchange.json(200, { status: 'ok' });
    }
    else if (method !== 'POST' || !pathname.startsWith(api.path)) {
        refuse(404, `no such path: ${pathname}`);
    }
    else if (!body || typeof body !== 'object') {
        refuse(400, 'the body is not a JSON object');
    }
    else {
        const asked = api.asked?.(pathname, body) ??
            (pathname === api.path && body);
        const other = !asked && api.other?.(pathname, body);
        if (asked) {
            await speak(exchange, api, asked);
        }
        else if (other) {
            exchange.json(200, other);
        }
        else {
            refuse(404, `no such path: ${pathname}`);
        }
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

    const { pathname } = new URL(path, 'http://localhost');
    const api = APIS.find((one) => pathname.startsWith(one.path)) ?? APIS[0];
    const exchange = new Exchange(request, response, n, api);
    try {
        await route(exchange, api, method, pathname, body);
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
