// The OpenAI Chat Completions API of the scripted model, as gateways and other
// vendors speak it, too: streams and whole answers, function tools, images,
// reasoning (reasoning_content, unless enable_thinking is false),
// response_format, tool_choice and parallel_tool_calls behave as in the real
// APIs; max_tokens is ignored, the marker [[finish:length]] stands for it.
// [[error:STATUS:N]] ends the stream with an error's body.

import { plan } from './markers.mjs';
import {
    newId, numbersOf, pieces, spoken, textsIn,
} from './model-parts.mjs';

/** Of HTTP statuses: the error's type and code. */
const ERRORS = {
    401: ['invalid_request_error', 'invalid_api_key'],
    404: ['invalid_request_error', 'model_not_found'],
    413: ['invalid_request_error', 'context_length_exceeded'],
    429: ['requests', 'rate_limit_exceeded'],
};

function problem(status, message) {
    const [type, code] = ERRORS[status] ??
        [status < 500 ? 'invalid_request_error' : 'server_error', null];
    return {
        status,
        headers: status === 429 ? { 'retry-after': '1' } : {},
        body: { error: { message, type, param: null, code } },
    };
}

/** What the API says when an account's credit is used up. */
const quota = () => ({
    status: 429,
    headers: {},
    body: { error: {
        message: 'You exceeded your current quota, please check your plan ' +
            'and billing details.',
        type: 'insufficient_quota', param: null, code: 'insufficient_quota',
    } },
});

/* ---- from the request to the context of plan() ---- */

const partsOf = (content) => typeof content === 'string'
    ? [{ type: 'text', text: content }] : content ?? [];

const textOf = (content) => partsOf(content)
    .map((part) => part.text ?? '').join('');

const FROM = { user: 'user', assistant: 'model', tool: 'tool' };

/** Members that hold no words: a search must not find "user" in a role. */
const WORDLESS = new Set(['type', 'role', 'id', 'tool_call_id', 'image_url']);

function contextOf(body) {
    const messages = body.messages ?? [];
    const choice = body.tool_choice;
    const tools = choice === 'none' ? [] : (body.tools ?? []).map((tool) => (
        { name: tool.function.name, schema: tool.function.parameters }));
    const format = body.response_format ?? {};
    return {
        turns: messages.filter((one) => FROM[one.role]).map((one) => (
            { from: FROM[one.role], text: textOf(one.content) })),
        seen: [...textsIn([messages, body.tools], WORDLESS)],
        tools,
        images: messages.flatMap((one) => partsOf(one.content))
            .filter((part) => part.type === 'image_url').length,
        forced: choice === 'required' ? tools[0]
            : tools.find((tool) => tool.name === choice?.function?.name),
        schema: format.json_schema?.schema ??
            (format.type === 'json_object' ? { type: 'object' } : null),
    };
}

/* ---- from the plan to an answer of this API ---- */

/** The planned turn with everything the request itself has a say in. */
function answerOf(body) {
    const context = contextOf(body);
    const answer = plan(context);

    if (body.enable_thinking === false) {
        answer.think = '';
    }
    if (body.parallel_tool_calls === false) {
        answer.calls.length = Math.min(answer.calls.length, 1);
    }
    answer.reason = answer.finish ??
        (answer.calls.length ? 'tool_calls' : 'stop');
    return { ...answer, ...numbersOf(answer, context) };
}

const usageOf = ({ input, output, cached, reasoned }) => ({
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: reasoned },
});

const callOf = ({ name, args }) => ({
    id: newId('call'), type: 'function', function: { name, arguments: args },
});

const completionOf = (object, body, rest) => ({
    id: newId('chatcmpl'),
    object,
    created: Math.floor(Date.now() / 1000),
    model: body.model,
    ...rest,
});

/** Writes the answer as chunks; a fault leaves it by an exception. */
async function stream(exchange, body, answer) {
    const { fault } = answer;
    const head = completionOf('chat.completion.chunk', body, {});
    const send = (delta, finish_reason = null) => exchange.send(null, {
        ...head, choices: [{ index: 0, delta, finish_reason }] });

    exchange.head(200, 'text/event-stream');
    send({ role: 'assistant', content: '' });
    if (answer.think) {
        send({ reasoning_content: answer.think });
    }
    const words = fault ? answer.deltas.slice(0, fault.after)
                        : answer.deltas;
    for await (const content of spoken(words, exchange)) {
        send({ content });
    }
    if (fault) {
        await exchange.fail(fault, ({ body: failure }) =>
            exchange.send(null, failure));
    }
    for (const [index, call] of answer.calls.map(callOf).entries()) {
        const { name, arguments: args } = call.function;
        send({ tool_calls: [{ ...call, index,
                              function: { name, arguments: '' } }] });
        for (const piece of pieces(args, 12)) {
            send({ tool_calls: [{ index, function: { arguments: piece } }] });
        }
    }
    send({}, answer.reason);
    if (body.stream_options?.include_usage) {
        exchange.send(null, { ...head, choices: [], usage: usageOf(answer) });
    }
    exchange.write('data: [DONE]\n\n');
    exchange.end();
}

function whole(exchange, body, answer) {
    return completionOf('chat.completion', body, {
        choices: [{
            index: 0,
            message: {
                role: 'assistant',
                content: answer.deltas.map(({ text }) => text).join(''),
                ...answer.think && { reasoning_content: answer.think },
                ...answer.calls.length &&
                    { tool_calls: answer.calls.map(callOf) },
            },
            finish_reason: answer.reason,
        }],
        usage: usageOf(answer),
    });
}

export const openai = {
    path: '/v1/chat/completions',
    requestId: 'x-request-id',
    problem,
    quota,
    answerOf,
    stream,
    whole,
};
