// The Gemini API of the scripted model (POST /v1beta/models/NAME:generateContent
// and :streamGenerateContent): streams and whole answers, functions, images,
// thoughts (if the request has includeThoughts and a budget other than 0),
// responseJsonSchema and toolConfig behave as in the real API; maxOutputTokens
// is ignored, the marker [[finish:length]] stands for it. [[error:STATUS:N]]
// ends the stream with an error's body, [[finish:none]] without a last word.

import { plan } from './markers.mjs';
import {
    countTokens, newId, numbersOf, spoken, textsIn,
} from './model-parts.mjs';

const STATUSES = {
    400: 'INVALID_ARGUMENT',
    401: 'UNAUTHENTICATED',
    403: 'PERMISSION_DENIED',
    404: 'NOT_FOUND',
    413: 'INVALID_ARGUMENT',
    429: 'RESOURCE_EXHAUSTED',
    500: 'INTERNAL',
    503: 'UNAVAILABLE',
};

const FINISH = {
    length: 'MAX_TOKENS',
    content_filter: 'SAFETY',
};

const TYPE = 'type.googleapis.com/google.rpc.';

function problem(code, text, details = []) {
    // The CLI tells a missing model from other failures by the words alone.
    const message = code === 404
        ? `${text}: models/NAME is not found for API version v1beta` : text;
    return {
        status: code,
        headers: {},
        body: { error: { code, message,
                         status: STATUSES[code] ?? 'UNKNOWN', details } },
    };
}

/** What the API says when a day's requests are used up. */
const quota = () => problem(429, 'You exceeded your current quota, please ' +
    'check your plan and billing details.', [{
        '@type': `${TYPE}QuotaFailure`,
        violations: [{ quotaId:
            'GenerateRequestsPerDayPerProjectPerModel-FreeTier' }],
    }]);

/* ---- from the request to the context of plan() ---- */

/** Text that is added on nobody's behalf is read, but is not the user's. */
const isOwn = (text) => /^<session_context>|^\u2060$/.test(text);

const textOf = (value) => [...textsIn(value, new Set())].join('');

/** The conversation as turns; the parts of one message are one text. */
function* turnsOf(contents) {
    for (const { role, parts = [] } of contents) {
        const results = parts.filter((part) => part.functionResponse);
        const text = parts.map((part) => part.text ?? '')
            .filter((one) => !isOwn(one)).join('');
        if (role === 'model') {
            yield { from: 'model', text };
            continue;
        }
        for (const { functionResponse } of results) {
            yield { from: 'tool', text: textOf(functionResponse.response) };
        }
        if (text) {
            yield { from: 'user', text };
        }
    }
}

/** Members that hold no words: a search must not find "user" in a role. */
const WORDLESS = new Set(['role', 'id', 'mimeType', 'data',
                          'thoughtSignature']);

const isImage = ({ inlineData, fileData }) =>
    /^image\//.test((inlineData ?? fileData)?.mimeType);

function imagesIn(parts) {
    return (parts ?? []).reduce((sum, part) => sum + isImage(part) +
        imagesIn(part.functionResponse?.parts), 0);
}

function contextOf(body) {
    const choice = body.toolConfig?.functionCallingConfig ?? {};
    const tools = choice.mode === 'NONE' ? [] : (body.tools ?? [])
        .flatMap((tool) => tool.functionDeclarations ?? [])
        .map((tool) => ({ name: tool.name, schema:
            tool.parametersJsonSchema ?? tool.parameters }));
    const contents = body.contents ?? [];
    return {
        turns: [...turnsOf(contents)],
        seen: [...textsIn([body.systemInstruction, contents, body.tools],
                          WORDLESS)],
        tools,
        images: contents.reduce((sum, one) => sum + imagesIn(one.parts), 0),
        forced: choice.mode !== 'ANY' ? undefined
            : tools.find((tool) => choice.allowedFunctionNames
                ?.includes(tool.name)) ?? tools[0],
        schema: body.generationConfig?.responseJsonSchema,
    };
}

/* ---- from the plan to an answer of this API ---- */

/** The planned turn with everything the request itself has a say in. */
function answerOf(body) {
    const context = contextOf(body);
    const answer = plan(context);
    const thinking = body.generationConfig?.thinkingConfig ?? {};

    if (!thinking.includeThoughts || thinking.thinkingBudget === 0) {
        answer.think = '';
    }
    answer.reason = FINISH[answer.finish] ?? answer.finish ?? 'STOP';
    return { ...answer, ...numbersOf(answer, context) };
}

const usageOf = ({ input, output, cached, reasoned }) => ({
    promptTokenCount: input,
    candidatesTokenCount: output - reasoned,
    totalTokenCount: input + output,
    ...cached && { cachedContentTokenCount: cached },
    ...reasoned && { thoughtsTokenCount: reasoned },
});

const callOf = ({ name, args }) => ({
    functionCall: { id: newId('fc'), name, args: JSON.parse(args) },
    thoughtSignature: 'c2lnbmVk',
});

/** One chunk of a stream, or the whole answer. */
const chunkOf = (body, id, parts, rest = {}, usage = undefined) => ({
    candidates: [{ content: { role: 'model', parts }, index: 0, ...rest }],
    ...usage && { usageMetadata: usage },
    modelVersion: body.model,
    responseId: id,
});

/** Writes the answer as chunks; a fault leaves it by an exception. */
async function stream(exchange, body, answer) {
    const { fault } = answer;
    const id = newId('resp');
    const send = (...chunk) =>
        exchange.send(null, chunkOf(body, id, ...chunk));

    exchange.head(200, 'text/event-stream');
    if (answer.think) {
        send([{ text: answer.think, thought: true }]);
    }
    const words = fault ? answer.deltas.slice(0, fault.after)
                        : answer.deltas;
    for await (const text of spoken(words, exchange)) {
        send([{ text }]);
    }
    if (fault) {
        await exchange.fail(fault, (failure) =>
            exchange.write(JSON.stringify(failure.body)));
    }
    if (answer.calls.length) {
        send(answer.calls.map(callOf));
    }
    if (answer.reason !== 'none') {
        send([{ text: '' }], { finishReason: answer.reason },
             usageOf(answer));
    }
    exchange.end();
}

function whole(exchange, body, answer) {
    const parts = answer.think ? [{ text: answer.think, thought: true }] : [];
    parts.push(...answer.deltas.map(({ text }) => ({ text })),
               ...answer.calls.map(callOf));
    return chunkOf(body, newId('resp'), parts,
                   { finishReason: answer.reason }, usageOf(answer));
}

const PATH = '/v1beta/models/';

/** The request, with what its path says of it; nothing if it is no chat. */
function asked(pathname, body) {
    const [model, method] = pathname.slice(PATH.length).split(':');
    return /^(?:stream)?[gG]enerateContent$/.test(method)
        ? { ...body, model, stream: method === 'streamGenerateContent' }
        : null;
}

const other = (pathname, body) => pathname.endsWith(':countTokens')
    ? { totalTokens: countTokens(contextOf(body)) } : null;

export const gemini = {
    path: PATH,
    requestId: 'x-request-id',
    problem,
    quota,
    asked,
    other,
    answerOf,
    stream,
    whole,
};
