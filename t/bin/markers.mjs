// The wit of the scripted models: it does what markers in the text say.
//
// Knows no wire format: a server or a fake CLI turns what it received into
// the context of plan() and renders the answer its own way.
//
//   [[say:TEXT]] [[say64:BASE64]]    answer this text
//   [[stream:N:MS]]                  answer "tok1 … tokN", N deltas, MS apart
//   [[think:TEXT]]                   reason first
//   [[tool:NAME:{…}]] [[tool64:…]]   call a tool; arguments as JSON or base64
//   [[find:TEXT]]                    "found TEXT;" or "missing TEXT;"
//   [[images]] [[tools]]             "images=N;", "tools=a,b;"
//   [[finish:REASON]]                end with length, stop, content_filter, …
//   [[usage:IN:OUT]] [[sleep:MS]]    report these numbers; wait before output
//   [[error:STATUS]] [[error:STATUS:N]]  fail, at once or after N text deltas
//   [[reset]]                        forget the markers before it in this text
//
// Our own additions, for what only a broken network or account can do:
//
//   [[drop:N]]           cut the connection after N text deltas
//   [[stall:N]]          fall silent after N text deltas, connection open
//   [[hang]]             never answer
//   [[quota:EPOCH]]      the subscription is used up until EPOCH
//   [[usage:IN:OUT:CACHED:REASONED]]  how many of IN a cache had, and of OUT
//                        were reasoning
//
// for a model that calls tools in one round after the other:
//
//   [[next]]             what follows is for the next answer
//
// and for a model that errs:
//
//   [[invent:NAME:{…}]]  call a tool, whether it was offered or not

const MARKER = new RegExp('\\[\\[(?:(reset|next|images|tools|hang)|(say|' +
    'say64|stream|think|tool|tool64|invent|find|finish|usage|sleep|error|' +
    'drop|stall|quota)' +
    ':([\\s\\S]*?))\\]\\]', 'g');

const decode = (base64) => Buffer.from(base64, 'base64').toString('utf8');

/** Splits "NAME:REST" at the first colon only: arguments are full of them. */
function nameAndRest(text) {
    const colon = text.indexOf(':');
    return colon < 0 ? [text, ''] : [text.slice(0, colon),
                                     text.slice(colon + 1)];
}

/** The markers of one text in order, as {op, text, numbers}, by answers. */
function parse(text) {
    let answers = [[]];
    for (const [, bare, op, text_ = ''] of text.matchAll(MARKER)) {
        if (bare === 'reset') {
            answers = [[]];
        }
        else if (bare === 'next') {
            answers.push([]);
        }
        else {
            answers.at(-1).push({ op: bare ?? op, text: text_,
                                  numbers: text_.split(':').map(Number) });
        }
    }
    return answers;
}

/** The text without its markers: what a search may find. */
export const strip = (text) => text.replace(MARKER, '');

/** Some instance of a JSON Schema; `root` resolves local references. */
export function example(schema, root = schema, depth = 0) {
    if (!schema || typeof schema !== 'object' || depth > 12) {
        return 'example';
    }
    const inner = (s) => example(s, root, depth + 1);
    if (typeof schema.$ref === 'string') {
        return inner(schema.$ref.replace(/^#\/?/, '').split('/')
            .filter(Boolean).reduce((at, key) => at?.[key], root));
    }
    if ('const' in schema) {
        return schema.const;
    }
    const choices = schema.anyOf ?? schema.oneOf ?? schema.allOf;
    if (choices) {
        return inner(choices[0]);
    }
    if (schema.enum) {
        return schema.enum[0];
    }
    switch ([schema.type].flat()[0] ?? (schema.properties && 'object')) {
    case 'object':
        return Object.fromEntries(Object.entries(schema.properties ?? {})
            .map(([key, value]) => [key, inner(value)]));
    case 'array':
        return Array.from({ length: schema.minItems ?? 0 },
                          () => inner(schema.items));
    case 'integer':
    case 'number':
        return schema.minimum ?? 1;
    case 'boolean':
        return true;
    case 'null':
        return null;
    default:
        return 'example';
    }
}

/** A CLI that got a tool over MCP offers it as mcp__SERVER__NAME. */
function offered(tools, name) {
    return tools.find((tool) => tool.name === name) ??
        tools.find((tool) => /^mcp_/.test(tool.name) &&
                             tool.name.endsWith('_' + name));
}

/**
 * The markers still to be obeyed: each answer after them has used some up. What
 * the model said in a row is one answer.
 */
function dueMarks(turns) {
    let answers = 0;
    for (let i = turns.length - 1; i >= 0; i--) {
        const { from, text } = turns[i];
        if (from === 'model' && turns[i - 1]?.from !== 'model') {
            answers++;
        }
        if (from === 'user' && text.search(MARKER) >= 0) {
            return parse(text)[answers] ?? [];
        }
    }
    return [];
}

/** What a model does that was told nothing: rule 5 of the protocol. */
function unasked(turn, context) {
    const user = context.turns.findLast((one) => one.from === 'user');
    const weather = context.tools.find((one) => /weather/i.test(one.name));
    const call = (name, args) =>
        turn.calls.push({ name, args: JSON.stringify(args) });

    if (context.forced) {
        call(context.forced.name, example(context.forced.schema));
    }
    else if (context.schema) {
        turn.deltas.push({
            text: JSON.stringify(example(context.schema)), delay: 0,
        });
    }
    else if (weather && /weather/i.test(user?.text ?? '')) {
        call(weather.name, { location: 'San Francisco, CA' });
    }
}

/** Adds what one marker asks for to the turn. */
function obey(turn, { op, text, numbers }, context) {
    const [first, second, third, fourth] = numbers;
    const say = (words, delay = 0) => turn.deltas.push({ text: words, delay });

    switch (op) {
    case 'say':
        return say(text);
    case 'say64':
        return say(decode(text));
    case 'stream':
        for (let i = 1; i <= first; i++) {
            say(i > 1 ? ` tok${i}` : 'tok1', i > 1 && second || 0);
        }
        return;
    case 'think':
        turn.think += text;
        return;
    case 'tool':
    case 'tool64': {
        const [name, rest] = nameAndRest(text);
        const tool = offered(context.tools, name);
        if (!tool) {
            return say(`no such tool: ${name}`);
        }
        const args = (op === 'tool' ? rest : decode(rest)) || '{}';
        turn.calls.push({ name: tool.name, args });
        return;
    }
    case 'invent': {
        const [name, rest] = nameAndRest(text);
        turn.calls.push({ name, args: rest || '{}' });
        return;
    }
    case 'find': {
        const hit = context.seen.some((one) => strip(one).includes(text));
        return say(`${hit ? 'found' : 'missing'} ${text};`);
    }
    case 'images':
        return say(`images=${context.images};`);
    case 'tools':
        return say(`tools=${context.tools.map((one) => one.name)
            .sort().join(',')};`);
    case 'finish':
        turn.finish = text;
        return;
    case 'usage':
        turn.usage = { input: first, output: second, cached: third,
                       reasoned: fourth };
        return;
    case 'sleep':
        turn.sleep += first;
        return;
    case 'error':
        turn.fault = { op, status: first, after: second };
        return;
    case 'drop':
    case 'stall':
        turn.fault = { op, after: first };
        return;
    case 'quota':
        turn.fault = { op, reset: first };
        return;
    case 'hang':
        turn.fault = { op };
    }
}

/**
 * Decides one turn of the model.
 *
 * context:
 *   turns   oldest first, {from: 'user' | 'model' | 'tool', text}
 *   seen    every text the model can see, for [[find]]
 *   tools   offered, {name, schema}
 *   images  how many it was given
 *   forced  the tool it must call, one of `tools`, or nothing
 *   schema  the JSON Schema its answer must follow, or nothing
 *
 * Returns {sleep, think, deltas: [{text, delay}], calls: [{name, args}],
 * finish, usage: {input, output, cached, reasoned}, fault: {op, after, …}};
 * `args` is JSON text, the last three are null unless asked for; a fault whose
 * `after` is undefined comes before any output.
 */
export function plan(context) {
    const { turns } = context;
    const turn = { sleep: 0, think: '', deltas: [], calls: [],
                   finish: null, usage: null, fault: null };

    const marks = dueMarks(turns);
    const results = turns.slice(
        turns.findLastIndex((one) => one.from !== 'tool') + 1);
    if (results.length && !marks.length) {
        const said = results.map((one) => one.text).join(' | ');
        turn.deltas.push({ text: `tool said: ${said}`, delay: 0 });
        return turn;
    }

    for (const mark of marks) {
        obey(turn, mark, context);
    }
    if (!marks.length) {
        unasked(turn, context);
    }
    if (!turn.deltas.length && !turn.calls.length && !turn.fault) {
        turn.deltas.push({ text: 'ok', delay: 0 });
    }
    return turn;
}
