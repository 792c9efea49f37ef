// What is said in the recorded conversations of t/data/clients: by the user
// (prompt) and by the model (answers, one for each request of a turn).
//
// The texts are what models do say and what a client may be tempted to tidy
// up: blanks and line feeds around a text, fences, tabs, CRLF, emoji, letters
// of two code points, empty text beside a call, arguments spelt oddly.

const HELLO = '\n\nGrüße – 你好 – مرحبا 👩‍👩‍👧 e\u0301 é\u00a0!\r\n\r\n  Done. \n';

const CODE = '```sh\n$ ls -la\n\tindented\n```\n\nText `a  b` <b>&amp;</b> ' +
    'and a "quoted\\path".\n\n\n```\n\n```\n';

const LONG = '  ' + 'One sentence after the other. '.repeat(10) + '\n\n';

/** The same value, as no serialiser writes it: keys turned round, escapes. */
const loose = (value) => '{ ' + Object.entries(value).reverse()
    .map(([key, one]) => `"${key}" :  ${JSON.stringify(one)
        .replaceAll('.', '\\u002e')}`).join(' ,\n\t') + ' }\n';

/** JSON that ends too early. */
const broken = (value) => JSON.stringify(value).slice(0, -3);

/**
 * Conversations for a client that executes tools. The client's tool calls:
 * read(file), list(), shell(command), write(file, text).
 */
export const talks = (tool) => [
    { name: 'chat', steps: [
        { prompt: 'Say hello in a few languages.',
          answers: [{ text: HELLO }] },
        { prompt: '  And now as a shell script, please.\n',
          answers: [{ text: CODE }] },
        { prompt: 'Thänks 👍', answers: [
            { reasoning: '\nThey are polite.\n', text: '\n\nWelcome.\n\n' },
        ] },
        { prompt: 'Go on.', answers: [{ text: LONG }] },
        { prompt: 'Bye', answers: [{ text: 'Bye 👋' }] },
    ] },
    { name: 'tools', steps: [
        { prompt: 'What is in notes.txt?', answers: [
            { text: '\n\nI will look.\n', tool_calls: [
                tool.read('notes.txt'),
            ] },
            { tool_calls: [tool.list()] },
            { text: `The file:\n\n${CODE}` },
        ] },
        { prompt: 'And in the sources?', answers: [
            { reasoning: 'Two at once.', tool_calls: [
                tool.read('src/main.py'), tool.read('notes.txt'),
            ] },
            { reasoning: 'Now count.', text: 'Counting:', tool_calls: [
                tool.shell('wc -l notes.txt'), tool.read('missing.txt'),
            ] },
            { reasoning: 'Enough.', text: '  Three lines.\n' },
        ] },
        { prompt: 'Thanks', answers: [{ text: 'Welcome.\n' }] },
    ] },
    { name: 'write', steps: [
        { prompt: 'Write new.txt.', answers: [
            { tool_calls: [tool.write('new.txt', '  a\n\tb "c" ü\n\n')] },
            { text: 'Written.\n\nThere you go.' },
        ] },
        { prompt: 'And another.', answers: [
            { text: '\t', tool_calls: [tool.write('src/b.txt', '')] },
            { text: 'Written, too.' },
        ] },
        { prompt: 'Bye', answers: [{ text: 'Bye.' }] },
    ] },
    { name: 'odd arguments', steps: [
        { prompt: 'Look around.', answers: [
            { tool_calls: [raw(tool.read('notes.txt'), loose)] },
            { text: ' \n', tool_calls: [raw(tool.list(), loose)] },
            { tool_calls: [raw(tool.read('notes.txt'), (value) => JSON
                .stringify({ ...value, ratio: '@', big: '#', no: null })
                .replace('"@"', '1.0')
                .replace('"#"', '12345678901234567890'))] },
            { text: 'That was odd.' },
        ] },
        { prompt: 'Go on.', answers: [{ text: 'Over.' }] },
    ] },
    { name: 'bad calls', steps: [
        { prompt: 'Look around.', answers: [
            { text: 'Trying.', tool_calls: [
                { name: 'no_such_tool', arguments: { a: 1 } },
            ] },
            { tool_calls: [raw(tool.read('notes.txt'), broken)] },
            { tool_calls: [{ ...tool.list(), arguments: '' }] },
            { text: 'I give up.' },
        ] },
        { prompt: 'Go on.', answers: [{ text: 'Over.' }] },
    ] },
    { name: 'tags', steps: [
        { prompt: 'Think aloud.', answers: [
            { text: '<think>\nHm.\n</think>\n\nThe answer.\n' },
        ] },
        { prompt: 'Again.', answers: [
            { text: '<thinking>Hm.</thinking><final>Yes</final>' },
        ] },
        { prompt: 'Again.', answers: [{ text: 'No.' }] },
    ] },
    { name: 'cut off', steps: [
        { prompt: 'Tell a story.', answers: [
            { text: 'Once upon a time ', finish_reason: 'length' },
            { text: 'there was a cat.' },
        ] },
        { prompt: 'Go on.', answers: [{ text: 'It slept.' }] },
        { prompt: 'Go on.', answers: [{ text: 'It woke.' }] },
    ] },
    { name: 'blank', steps: [
        { prompt: 'Say nothing.', answers: [
            { text: ' \n\n' }, { text: 'Nothing.' },
        ] },
        { prompt: 'Less.', answers: [{ text: '' }, { text: 'Less.' }] },
        { prompt: 'Bye', answers: [{ text: 'Bye.' }] },
    ] },
];

function raw(call, spell) {
    return { ...call, arguments: spell(call.arguments) };
}
