// The Anthropic Messages API of the scripted model: streams and whole answers,
// tools, images, thinking (if the request enables it), output_config.format,
// stop_sequences and tool_choice behave as in the real API; max_tokens is
// ignored, the marker [[finish:length]] stands for it.

import { plan } from './markers.mjs';
import {
    countTokens, newId, numbersOf, pieces, secondsUntil, spoken, textsIn,
} from './model-parts.mjs';

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

function problem(status, message) {
    const type = ERROR_TYPES[status] ??
        (status < 500 ? 'invalid_request_error' : 'api_error');
    return {
        status,
        headers: status === 429 ? { 'retry-after': '1' } : {},
        body: {
            type: 'error',
            // the word by which CLIs know it
            error: { type, message: status === 529 ? 'Overloaded' : message },
            request_id: newId('req'),
        },
    };
}

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
        seen: [...textsIn([body.system, body.messages, body.tools],
                          WORDLESS)],
        tools,
        images: (body.messages ?? []).reduce(
            (sum, message) => sum + imagesIn(message.content), 0),
        forced,
        schema: body.output_config?.format?.schema,
    };
}

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
function answerOf(body) {
    const context = contextOf(body);
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
    return { ...answer, ...numbersOf(answer, context) };
}

const usageOf = (answer, output) => ({
    input_tokens: answer.input - answer.cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: answer.cached,
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
function whole(exchange, body, answer) {
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
            for await (const text of spoken(words, exchange)) {
                yield { type: 'text_delta', text };
            }
            if (fault) {
                await exchange.fail(fault, ({ body }) =>
                    exchange.send('error', body));
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

/** What the API says when the five-hour window of a subscription is empty. */
function quota(reset) {
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
    return {
        ...problem(429, 'This request would exceed your ' +
            "account's rate limit. Please try again later."),
        headers: Object.fromEntries([
            ['retry-after', secondsUntil(reset)],
            ...Object.entries(unified).map(([name, value]) =>
                [`anthropic-ratelimit-unified-${name}`, value]),
        ]),
    };
}

export const anthropic = {
    path: '/v1/messages',
    requestId: 'request-id',
    problem,
    quota,
    answerOf,
    stream,
    whole,
    other: (pathname, body) => pathname === '/v1/messages/count_tokens'
        ? { input_tokens: countTokens(contextOf(body)) } : null,
};
