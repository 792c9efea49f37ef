// The OpenAI Responses API of the scripted model: streams and whole answers,
// function tools, images, reasoning (if the request has it, and its summary
// and encrypted_content if it asks for them), text.format, tool_choice and
// parallel_tool_calls behave as in the real API; max_output_tokens is ignored,
// the marker [[finish:length]] stands for it. [[error:STATUS:N]] ends in
// response.failed.

import { plan } from './markers.mjs';
import {
    newId, numbersOf, pieces, secondsUntil, spoken, textsIn,
} from './model-parts.mjs';

/** Of HTTP statuses: the error's type and code, and its code in a stream. */
const ERRORS = {
    400: ['invalid_request_error', null, 'invalid_prompt'],
    401: ['invalid_request_error', 'invalid_api_key'],
    403: ['invalid_request_error', null],
    404: ['invalid_request_error', 'model_not_found'],
    413: ['invalid_request_error', null, 'context_length_exceeded'],
    429: ['requests', 'rate_limit_exceeded', 'rate_limit_exceeded'],
    503: ['service_unavailable_error', 'server_is_overloaded',
          'server_is_overloaded'],
    // not of this API, which would say it so
    529: ['server_error', 'server_error', 'server_is_overloaded'],
};

const INCOMPLETE = {
    length: 'max_output_tokens',
    content_filter: 'content_filter',
};

function problem(status, message) {
    const [type, code] = ERRORS[status] ??
        (status < 500 ? ['invalid_request_error', null]
                      : ['server_error', 'server_error']);
    return {
        status,
        headers: status === 429 ? { 'retry-after': '1' } : {},
        body: { error: { message, type, param: null, code } },
    };
}

/** What the API says when the five-hour window of a subscription is empty. */
function quota(reset) {
    return {
        status: 429,
        headers: {
            'x-codex-primary-used-percent': '100',
            'x-codex-primary-window-minutes': '300',
            'x-codex-primary-reset-at': String(reset),
            'x-codex-secondary-used-percent': '40',
            'x-codex-secondary-window-minutes': '10080',
            'x-codex-secondary-reset-at': String(reset + 86400),
        },
        body: {
            error: {
                type: 'usage_limit_reached',
                message: 'The usage limit has been reached',
                plan_type: 'plus',
                resets_at: reset,
                resets_in_seconds: secondsUntil(reset),
            },
        },
    };
}

/* ---- from the request to the context of plan() ---- */

/** Text the CLI adds on its own behalf is read, but is not the user's. */
const isOwn = (text) =>
    /^(?:<(?:environment_context|turn_aborted|image)\b|# AGENTS\.md )/
        .test(text);

const partsOf = (content) => typeof content === 'string'
    ? [{ type: 'input_text', text: content }] : content ?? [];

const textOf = (content) => partsOf(content)
    .map((part) => part.text ?? '').join('');

const itemsOf = (body) => typeof body.input === 'string'
    ? [{ type: 'message', role: 'user', content: body.input }]
    : body.input ?? [];

/** The conversation as turns; the parts of one message are one text. */
function* turnsOf(items) {
    for (const { type = 'message', role, content, output } of items) {
        if (type === 'function_call_output') {
            yield { from: 'tool', text: textOf(output) };
        }
        else if (type === 'function_call') {
            yield { from: 'model', text: '' };
        }
        else if (type === 'message' && role === 'assistant') {
            yield { from: 'model', text: textOf(content) };
        }
        else if (type === 'message' && role === 'user') {
            const own = partsOf(content)
                .filter((part) => !isOwn(part.text ?? ''));
            if (own.length) {
                yield { from: 'user', text: textOf(own) };
            }
        }
    }
}

/** Members that hold no words: a search must not find "user" in a role. */
const WORDLESS = new Set(['type', 'role', 'id', 'call_id', 'status',
                          'encrypted_content', 'image_url', 'detail']);

/** A CLI may offer tools as an item of the input. */
function toolsOf(body) {
    const offers = [body, ...itemsOf(body).filter(
        (item) => item.type === 'additional_tools')];
    return offers.flatMap((offer) => offer.tools ?? []).map((tool) => (
        { name: tool.name ?? tool.type, schema: tool.parameters }));
}

function forcedOf(choice, tools) {
    return choice === 'required' ? tools[0]
        : tools.find((tool) => tool.name === choice?.name);
}

function schemaOf({ type, schema } = {}) {
    return type === 'json_schema' ? schema
        : type === 'json_object' ? { type: 'object' } : null;
}

function contextOf(body) {
    const items = itemsOf(body);
    const tools = body.tool_choice === 'none' ? [] : toolsOf(body);
    return {
        turns: [...turnsOf(items)],
        seen: [...textsIn([body.instructions, items, body.tools], WORDLESS)],
        tools,
        images: items.flatMap(({ content, output }) =>
            [...partsOf(content), ...partsOf(output)])
            .filter((part) => part.type === 'input_image').length,
        forced: forcedOf(body.tool_choice, tools),
        schema: schemaOf(body.text?.format),
    };
}

/* ---- from the plan to an answer of this API ---- */

/** The planned turn with everything the request itself has a say in. */
function answerOf(body) {
    const context = contextOf(body);
    const answer = plan(context);

    if (!body.reasoning || body.reasoning.effort === 'none') {
        answer.think = '';
    }
    if (body.parallel_tool_calls === false) {
        answer.calls.length = Math.min(answer.calls.length, 1);
    }
    answer.reason = INCOMPLETE[answer.finish] ?? null;
    return { ...answer, ...numbersOf(answer, context) };
}

const usageOf = ({ input, output, cached, reasoned }) => ({
    input_tokens: input,
    input_tokens_details: { cached_tokens: cached, cache_write_tokens: 0 },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoned },
    total_tokens: input + output,
});

const responseOf = (body) => ({
    id: newId('resp'),
    object: 'response',
    created_at: Math.floor(Date.now() / 1000),
    completed_at: null,
    status: 'in_progress',
    background: false,
    error: null,
    frequency_penalty: 0,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: null,
    model: body.model,
    output: [],
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    presence_penalty: 0,
    previous_response_id: null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    reasoning: { effort: null, summary: null, ...body.reasoning },
    safety_identifier: null,
    service_tier: body.service_tier ?? 'default',
    store: body.store ?? true,
    temperature: 1,
    text: { format: { type: 'text' }, ...body.text },
    tool_choice: body.tool_choice ?? 'auto',
    tools: body.tools ?? [],
    top_logprobs: 0,
    top_p: 1,
    truncation: 'disabled',
    usage: null,
    metadata: body.metadata ?? {},
});

/** The answer as events, each with its name: what a stream is made of. */
class Events {
    #number = 0;

    constructor(response, send) {
        this.response = response;
        this.write = send;
    }

    send(type, data) {
        this.write(type, { type, sequence_number: this.#number++, ...data });
    }

    /** An event that has the response as it is by now. */
    sendResponse(status, rest = {}) {
        Object.assign(this.response, rest);
        this.response.status = status === 'created' ? 'in_progress' : status;
        this.send(`response.${status}`, { response: this.response });
    }

    /** One item of the output; `fill` sends its events and returns its end. */
    async item(item, fill) {
        const output_index = this.response.output.length;
        this.send('response.output_item.added', { output_index, item });
        const done = { ...item, ...await fill((type, data) =>
            this.send(`response.${type}`,
                      { item_id: item.id, output_index, ...data })) };
        if (done.status) {
            done.status = 'completed';
        }
        this.response.output.push(done);
        this.send('response.output_item.done', { output_index, item: done });
    }
}

/** What only this server can read, and a test too. */
const encrypted = (text) => Buffer.from(text).toString('base64');

function reason(events, body, think) {
    const { summary } = body.reasoning;
    const item = { type: 'reasoning', id: newId('rs'), summary: [] };
    return events.item(item, (send) => {
        const end = { summary: [] };
        if (summary && summary !== 'none') {
            const part = { type: 'summary_text', text: think };
            const at = { summary_index: 0 };
            send('reasoning_summary_part.added',
                 { ...at, part: { ...part, text: '' } });
            for (const delta of pieces(think, 12)) {
                send('reasoning_summary_text.delta', { ...at, delta });
            }
            send('reasoning_summary_text.done', { ...at, text: think });
            send('reasoning_summary_part.done', { ...at, part });
            end.summary.push(part);
        }
        if (body.include?.includes('reasoning.encrypted_content')) {
            end.encrypted_content = encrypted(think);
        }
        return end;
    });
}

function say(events, exchange, { deltas, fault }) {
    const item = { type: 'message', id: newId('msg'), status: 'in_progress',
                   role: 'assistant', content: [] };
    return events.item(item, async (send) => {
        const part = { type: 'output_text', text: '', annotations: [],
                       logprobs: [] };
        const at = { content_index: 0 };
        send('content_part.added', { ...at, part });
        let text = '';
        for await (const delta of spoken(deltas.slice(0, fault?.after),
                                         exchange)) {
            text += delta;
            send('output_text.delta', { ...at, delta, logprobs: [] });
        }
        if (fault) {
            // The item stays open, as with a dying server.
            await exchange.fail(fault, (failure) => fail(events, failure));
        }
        send('output_text.done', { ...at, text, logprobs: [] });
        send('content_part.done', { ...at, part: { ...part, text } });
        return { content: [{ ...part, text }] };
    });
}

function fail(events, { status, body }) {
    const [, , code = 'server_error'] = ERRORS[status] ?? [];
    events.sendResponse('failed',
                        { error: { code, message: body.error.message } });
}

function call(events, { name, args }) {
    const item = { type: 'function_call', id: newId('fc'),
                   status: 'in_progress', name, call_id: newId('call'),
                   arguments: '' };
    return events.item(item, (send) => {
        for (const delta of pieces(args, 12)) {
            send('function_call_arguments.delta', { delta });
        }
        send('function_call_arguments.done', { name, arguments: args });
        return { arguments: args };
    });
}

/** Sends the answer; a fault leaves it by an exception. */
async function tell(events, exchange, body, answer) {
    events.sendResponse('created');
    events.sendResponse('in_progress');

    if (answer.think) {
        await reason(events, body, answer.think);
    }
    if (answer.deltas.length || answer.fault) {
        await say(events, exchange, answer);
    }
    for (const one of answer.calls) {
        await call(events, one);
    }
    const usage = usageOf(answer);
    if (answer.reason) {
        events.sendResponse('incomplete', {
            usage, incomplete_details: { reason: answer.reason },
        });
    }
    else {
        events.sendResponse('completed', { usage });
    }
    return events.response;
}

async function stream(exchange, body, answer) {
    exchange.head(200, 'text/event-stream; charset=utf-8');
    await tell(new Events(responseOf(body), (type, data) =>
        exchange.send(type, data)), exchange, body, answer);
    exchange.end();
}

const whole = (exchange, body, answer) =>
    tell(new Events(responseOf(body), () => {}), exchange, body, answer);

export const responses = {
    path: '/v1/responses',
    requestId: 'x-request-id',
    problem,
    quota,
    answerOf,
    stream,
    whole,
};
