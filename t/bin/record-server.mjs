// An OpenAI-style API on loopback that answers from a script and keeps what
// it was asked: chat completions and Responses, streamed or not, /v1/models.
//
//   node record-server.mjs --script FILE --log FILE [--port N]
//   import { record } from './record-server.mjs'
//
// The first line on stdout is "listening PORT". The script is JSON:
//
//   {"answers":[ANSWER,…],             for one request after the other
//    "side":[{"match":REGEX,"name":…,"answer":ANSWER},…]}
//
// A request whose body matches the regular expression of a side answer gets
// that one and uses up none of the others: clients ask for titles in between,
// at times of their own. When the script is over every request is refused.
//
//   ANSWER: {"text":…,"reasoning":…,"tool_calls":[{"name":…,"arguments":…}],
//            "finish_reason":…,"input_tokens":N}
//                                      all optional; arguments: value or text
//
// The log has one JSON line per answered request:
//
//   {"path":…,"side":…,"request":BODY,"answer":ANSWER with ids}

import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { pathToFileURL } from 'node:url';

const MODEL = 'recorded';
const INPUT_TOKENS = 1200;
const OUTPUT_TOKENS = 60;
const CREATED = 1760000000;

const line = (value) => `data: ${JSON.stringify(value)}\n\n`;

const event = (value) => `event: ${value.type}\n${line(value)}`;

/** Small pieces, so that blanks and line feeds come alone, too. */
const pieces = (text) => text.match(/\s+|\S{1,12}/gu) ?? [];

/** The answer with ids, arguments as text and a reason to stop. */
function finished(answer, n) {
    const calls = (answer.tool_calls ?? []).map((call, i) => ({
        id: `call_${n}_${i}`,
        name: call.name,
        arguments: typeof call.arguments === 'string'
            ? call.arguments : JSON.stringify(call.arguments ?? {}),
    }));
    return {
        text: answer.text ?? '',
        ...answer.reasoning && { reasoning: answer.reasoning },
        ...calls.length && { tool_calls: calls },
        finish_reason: answer.finish_reason ??
            (calls.length ? 'tool_calls' : 'stop'),
        input_tokens: answer.input_tokens ?? INPUT_TOKENS,
    };
}

/* ---- chat completions ---- */

const chatUsage = (answer) => ({
    prompt_tokens: answer.input_tokens, completion_tokens: OUTPUT_TOKENS,
    total_tokens: answer.input_tokens + OUTPUT_TOKENS,
});

const chatCalls = (answer) => answer.tool_calls?.map((call, index) => ({
    index, id: call.id, type: 'function',
    function: { name: call.name, arguments: call.arguments },
}));

function chatWhole(id, answer) {
    const calls = chatCalls(answer)?.map(({ index, ...call }) => call);
    return {
        id, object: 'chat.completion', created: CREATED, model: MODEL,
        choices: [{
            index: 0, finish_reason: answer.finish_reason, logprobs: null,
            message: {
                role: 'assistant',
                content: answer.text || !calls ? answer.text : null,
                refusal: null,
                ...answer.reasoning && { reasoning_content: answer.reasoning },
                ...calls && { tool_calls: calls },
            },
        }],
        usage: chatUsage(answer),
    };
}

function* chatStream(id, answer, body) {
    const chunk = (delta, finish_reason = null) => line({
        id, object: 'chat.completion.chunk', created: CREATED, model: MODEL,
        choices: [{ index: 0, delta, finish_reason, logprobs: null }],
    });

    yield chunk({ role: 'assistant', content: '' });
    for (const piece of pieces(answer.reasoning ?? '')) {
        yield chunk({ reasoning_content: piece });
    }
    for (const piece of pieces(answer.text)) {
        yield chunk({ content: piece });
    }
    for (const call of chatCalls(answer) ?? []) {
        const { arguments: args, name } = call.function;
        yield chunk({ tool_calls: [{
            ...call, function: { name, arguments: '' },
        }] });
        for (const piece of pieces(args)) {
            yield chunk({ tool_calls: [{
                index: call.index, function: { arguments: piece },
            }] });
        }
    }
    yield chunk({}, answer.finish_reason);
    if (body.stream_options?.include_usage) {
        yield line({
            id, object: 'chat.completion.chunk', created: CREATED,
            model: MODEL, choices: [], usage: chatUsage(answer),
        });
    }
    yield 'data: [DONE]\n\n';
}

/* ---- Responses ---- */

/** The items of an answer, and for each the deltas that make it. */
function responseItems(id, answer) {
    const items = [];

    if (answer.reasoning) {
        items.push({ id: `rs_${id}`, type: 'reasoning', summary: [
            { type: 'summary_text', text: answer.reasoning },
        ], encrypted_content: 'c2VhbGVk' });
    }
    if (answer.text || !answer.tool_calls) {
        items.push({
            id: `msg_${id}`, type: 'message', role: 'assistant',
            status: 'completed', content: [
                { type: 'output_text', text: answer.text, annotations: [] },
            ],
        });
    }
    for (const call of answer.tool_calls ?? []) {
        items.push({
            id: `fc_${call.id}`, type: 'function_call', call_id: call.id,
            name: call.name, arguments: call.arguments, status: 'completed',
        });
    }
    return items;
}

function responseWhole(id, answer, body, output) {
    const stop = output && (answer.finish_reason === 'length'
        ? 'incomplete' : 'completed');
    return {
        id: `resp_${id}`, object: 'response', created_at: CREATED,
        model: MODEL, status: stop ?? 'in_progress', error: null, metadata: {},
        incomplete_details: stop === 'incomplete'
            ? { reason: 'max_output_tokens' } : null,
        instructions: body.instructions ?? null,
        parallel_tool_calls: true, tool_choice: body.tool_choice ?? 'auto',
        tools: body.tools ?? [], temperature: 1, top_p: 1,
        max_output_tokens: null, previous_response_id: null,
        reasoning: { effort: null, summary: null }, store: true,
        text: { format: { type: 'text' } }, truncation: 'disabled',
        output: output ?? [],
        usage: output ? {
            input_tokens: answer.input_tokens,
            input_tokens_details: { cached_tokens: 0 },
            output_tokens: OUTPUT_TOKENS,
            output_tokens_details: { reasoning_tokens: 0 },
            total_tokens: answer.input_tokens + OUTPUT_TOKENS,
        } : null,
    };
}

/** The events between the start and the end of an item. */
function* responseParts(item, at) {
    if (item.type === 'message') {
        const [part] = item.content;
        const where = { ...at, content_index: 0 };
        yield { type: 'response.content_part.added', ...where,
                part: { ...part, text: '' } };
        for (const delta of pieces(part.text)) {
            yield { type: 'response.output_text.delta', ...where, delta };
        }
        yield { type: 'response.output_text.done', ...where,
                text: part.text };
        yield { type: 'response.content_part.done', ...where, part };
    }
    else if (item.type === 'reasoning') {
        const [part] = item.summary;
        const where = { ...at, summary_index: 0 };
        yield { type: 'response.reasoning_summary_part.added', ...where,
                part: { ...part, text: '' } };
        for (const delta of pieces(part.text)) {
            yield { type: 'response.reasoning_summary_text.delta', ...where,
                    delta };
        }
        yield { type: 'response.reasoning_summary_text.done', ...where,
                text: part.text };
        yield { type: 'response.reasoning_summary_part.done', ...where, part };
    }
    else {
        for (const delta of pieces(item.arguments)) {
            yield { type: 'response.function_call_arguments.delta', ...at,
                    delta };
        }
        yield { type: 'response.function_call_arguments.done', ...at,
                arguments: item.arguments };
    }
}

const begun = (item) => ({
    ...item,
    ...item.status && { status: 'in_progress' },
    ...item.type === 'message' && { content: [] },
    ...item.type === 'reasoning' && { summary: [] },
    ...item.type === 'function_call' && { arguments: '' },
});

function* responseEvents(id, answer, body) {
    const items = responseItems(id, answer);
    const start = responseWhole(id, answer, body);

    yield { type: 'response.created', response: start };
    yield { type: 'response.in_progress', response: start };
    for (const [output_index, item] of items.entries()) {
        const at = { item_id: item.id, output_index };
        yield { type: 'response.output_item.added', output_index,
                item: begun(item) };
        yield* responseParts(item, at);
        yield { type: 'response.output_item.done', output_index, item };
    }
    const response = responseWhole(id, answer, body, items);
    yield { type: `response.${response.status}`, response };
}

function* responseStream(id, answer, body) {
    let sequence_number = 0;
    for (const one of responseEvents(id, answer, body)) {
        yield event({ ...one, sequence_number: sequence_number++ });
    }
}

const DIALECTS = {
    '/v1/chat/completions': {
        whole: chatWhole, stream: chatStream,
    },
    '/v1/responses': {
        whole: (id, answer, body) => responseWhole(
            id, answer, body, responseItems(id, answer)),
        stream: responseStream,
    },
};

/* ---- the server ---- */

function reply(res, status, value) {
    res.writeHead(status, { 'content-type': 'application/json' });
    res.end(JSON.stringify(value));
}

const refuse = (res, status, message) => reply(res, status, {
    error: { message, type: 'invalid_request_error', code: null, param: null },
});

async function bodyOf(req) {
    const parts = [];
    for await (const part of req) {
        parts.push(part);
    }
    return Buffer.concat(parts).toString('utf8');
}

/**
 * Serves a script on 127.0.0.1 until close(). queue has the answers to come
 * and may be filled up; turns has what was asked and answered; refused what
 * the script had no answer to.
 */
export async function record({ answers = [], side = [] } = {},
                             { port = 0, log } = {}) {
    const queue = [...answers];
    const turns = [];
    const refused = [];

    function answerTo(text) {
        const found = side.find((one) => new RegExp(one.match).test(text));
        return found ? { side: found.name, answer: found.answer }
            : queue.length > 0 ? { answer: queue.shift() } : null;
    }

    const server = createServer(async (req, res) => {
        const path = new URL(req.url, 'http://localhost').pathname;
        const text = await bodyOf(req);
        const dialect = req.method === 'POST' && DIALECTS[path];

        if (req.method === 'GET' && path === '/v1/models') {
            return reply(res, 200, { object: 'list', data: [
                { id: MODEL, object: 'model', created: CREATED,
                  owned_by: 'recorder' },
            ] });
        }
        if (!dialect) {
            return refuse(res, 404, `nothing at ${req.method} ${path}`);
        }
        const found = answerTo(text);
        const body = JSON.parse(text);
        if (!found) {
            refused.push({ path, request: body });
            return refuse(res, 400, 'the script is over');
        }

        const n = turns.length + 1;
        const id = `rec${n}`;
        const turn = { path, ...found.side && { side: found.side },
                       request: body, answer: finished(found.answer, n) };
        turns.push(turn);
        if (log) {
            appendFileSync(log, `${JSON.stringify(turn)}\n`);
        }
        if (!body.stream) {
            return reply(res, 200, dialect.whole(id, turn.answer, body));
        }
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        for (const part of dialect.stream(id, turn.answer, body)) {
            res.write(part);
        }
        res.end();
    });

    await new Promise((done) => server.listen(port, '127.0.0.1', done));
    return {
        port: server.address().port, queue, turns, refused,
        close() {
            server.close();
            server.closeAllConnections();
        },
    };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
    const { values } = parseArgs({ options: {
        script: { type: 'string' }, log: { type: 'string' },
        port: { type: 'string', default: '0' },
    } });
    const { port } = await record(
        JSON.parse(readFileSync(values.script, 'utf8')),
        { port: Number(values.port), log: values.log });
    console.log(`listening ${port}`);
}
