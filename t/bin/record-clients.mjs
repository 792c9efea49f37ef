// Records how real clients send their history: t/data/clients/*.json.
//
//   node record-clients.mjs DIR [CLIENT…]
//
// DIR/CLIENT/node_modules has each client as npm installed it, from the
// package named below, with a node as new as the one that runs this. Run as
// root on Linux: the clients run in namespaces of their own, without any
// network but loopback, at home in /home/user and installed in /opt/clients,
// so that what they tell about their machine tells nothing about this one.
//
// The clients have the talks of record-talks.mjs: programs one process per
// turn of the user, each turn a continuation of the last, or one for all turns
// where the program knows how. Requests are written as
// sent, except that long texts keep only their ends and a digest and that of
// the tools only some names and digests are left: t/unit/clients.t sees all
// changes from one request to the next, but not what was in a text.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { record } from './record-server.mjs';
import { sdks } from './record-sdks.mjs';
import { talks } from './record-talks.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = join(HERE, '../data/clients');
const CLIENTS = '/opt/clients';
const HOME = '/home/user';
const PROJECT = `${HOME}/project`;
const TURN_LIMIT = 120_000;

const bin = (client, name) => `${CLIENTS}/${client}/node_modules/.bin/${name}`;

/* ---- the programs ---- */

const path = (file) => `${PROJECT}/${file}`;

const call = (name, args) => ({ name, arguments: args });

const json = (value) => JSON.stringify(value, null, 2);

const qwen = (url) => [bin('qwen', 'qwen'), '--yolo', '--auth-type', 'openai',
                       '--openai-base-url', url];

/**
 * The programs: what npm calls the package, the files they need, the calls of
 * their tools, and the command for the first prompt and those that follow
 * (run), or for all (held): when it is ready and how it is told a prompt.
 */
const programs = {
    opencode: {
        package: 'opencode-ai',
        env: {
            OPENCODE_DISABLE_AUTOUPDATE: '1',
            OPENCODE_DISABLE_MODELS_FETCH: '1',
            OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
            OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
        },
        files: (url) => ({ '.config/opencode/opencode.json': json({
            autoupdate: false, share: 'disabled', model: 'rec/recorded',
            small_model: 'rec/recorded',
            provider: { rec: {
                npm: '@ai-sdk/openai-compatible', name: 'rec',
                options: { baseURL: url, apiKey: 'none' },
                models: { recorded: {
                    name: 'recorded', tool_call: true,
                    limit: { context: 20000, output: 4000 },
                } },
            } },
        }) }),
        side: [{ match: 'You are a title generator', name: 'title',
                 answer: { text: 'A title\n' } }],
        tool: {
            read: (file) => call('read', { filePath: path(file) }),
            list: () => call('glob', { pattern: '*' }),
            shell: (command) => call('bash', { command, description: 'x' }),
            write: (file, content) => call('write', {
                content, filePath: path(file),
            }),
        },
        more: [{ name: 'compaction', steps: [
            { prompt: 'Read the notes.', answers: [
                { tool_calls: [call('read', { filePath: path('notes.txt') })] },
                { text: 'A long story.\n', input_tokens: 19000 },
                { text: '## Goal\n\nA summary.\n' },
                { text: 'On with it.' },
            ] },
            { prompt: 'Go on.', answers: [{ text: 'Gone on.' }] },
            { prompt: 'Go on.', answers: [{ text: 'And on.' }] },
        ] }],
        run: (prompt, again) => [bin('opencode', 'opencode'), 'run',
                                 ...again ? ['--continue'] : [], prompt],
    },

    cline: {
        package: 'cline',
        env: { CLINE_NO_AUTO_UPDATE: '1', CLINE_TELEMETRY_DISABLED: '1',
               CLINE_DISABLE_CLINE_PASS_NOTICE: '1' },
        setup: (url) => [bin('cline', 'cline'), 'auth', '-p',
                         'openai-compatible', '-k', 'none', '-b', url,
                         '-m', 'recorded'],
        tool: {
            read: (file) => call('read_files', {
                files: [{ path: path(file), start_line: null, end_line: 9 }],
            }),
            list: () => call('run_commands', { commands: ['ls'] }),
            shell: (command) => call('run_commands', { commands: [command] }),
            write: (file, text) => call('editor', {
                path: path(file), new_text: text,
            }),
        },
        // It takes up a session only at a terminal.
        held: () => ({
            argv: ['script', '-qec', `stty rows 40 cols 120; exec ` +
                   `${bin('cline', 'cline')} -i`, '/dev/null'],
            ready: 'slash commands',
            say: [(prompt) => prompt.trim(), () => '\r'],
        }),
    },

    cn: {
        package: '@continuedev/cli',
        env: {
            CONTINUE_GLOBAL_DIR: `${HOME}/.continue`,
            CONTINUE_TELEMETRY_ENABLED: '0',
        },
        files: (url) => ({ '.continue/config.yaml': [
            'name: rec', 'version: 1.0.0', 'schema: v1', 'models:',
            '  - name: recorded', '    provider: openai',
            '    model: recorded', `    apiBase: ${url}`, '    apiKey: none',
            '    roles: [chat]', '    capabilities: [tool_use]', '',
        ].join('\n') }),
        tool: {
            read: (file) => call('Read', { filepath: path(file) }),
            list: () => call('List', { dirpath: PROJECT }),
            shell: (command) => call('Bash', { command, timeout: 9 }),
            write: (file, content) => call('Write', {
                filepath: path(file), content,
            }),
        },
        run: (prompt, again) => [
            bin('cn', 'cn'), '--config', `${HOME}/.continue/config.yaml`,
            '-p', '--auto', ...again ? ['--resume'] : [], prompt,
        ],
    },

    qwen: {
        package: '@qwen-code/qwen-code',
        env: { QWEN_CODE_SUPPRESS_YOLO_WARNING: '1', OPENAI_API_KEY: 'none',
               OPENAI_MODEL: 'recorded' },
        files: () => ({ '.qwen/settings.json': json({
            telemetry: { enabled: false },
            privacy: { usageStatisticsEnabled: false },
            general: { enableAutoUpdate: false },
            security: { auth: { selectedType: 'openai' } },
        }) }),
        side: [{ match: 'managed memory extraction subagent', name: 'memory',
                 answer: { text: 'Nothing to save.' } }],
        tool: {
            read: (file) => call('read_file', { file_path: path(file) }),
            list: () => call('glob', { pattern: '*' }),
            shell: (command) => call('run_shell_command', {
                command, is_background: false, description: 'x',
            }),
            write: (file, content) => call('write_file', {
                file_path: path(file), content,
            }),
        },
        held: (url) => ({
            argv: [...qwen(url), '--input-format', 'stream-json',
                   '--output-format', 'stream-json'],
            ready: '',
            say: [(prompt) => `${JSON.stringify({
                type: 'user', session_id: 'x', parent_tool_use_id: null,
                message: { role: 'user', content: prompt },
            })}\n`],
        }),
        run: (prompt, again, url) => [
            ...qwen(url), ...again ? ['--continue'] : [], '-p', prompt],
    },

    codex: {
        package: '@openai/codex',
        env: { RECORDER_KEY: 'none' },
        files: (url) => ({ '.codex/config.toml': [
            'model = "recorded"', 'model_provider = "rec"',
            'check_for_update_on_startup = false', '[analytics]',
            'enabled = false', '[model_providers.rec]', 'name = "rec"',
            `base_url = "${url}"`, 'env_key = "RECORDER_KEY"',
            'wire_api = "responses"', '',
        ].join('\n') }),
        tool: {
            read: (file) => call('exec_command', { cmd: `cat ${file}` }),
            list: () => call('exec_command', { cmd: 'ls', login: false }),
            shell: (cmd) => call('exec_command', { cmd, workdir: PROJECT }),
            write: (file, text) => call('exec_command', {
                cmd: `printf %s '${text}' > ${file}`,
            }),
        },
        run: (prompt, again) => [
            bin('codex', 'codex'), 'exec',
            ...again ? ['resume', '--last'] : [], '--skip-git-repo-check',
            '--dangerously-bypass-approvals-and-sandbox', prompt,
        ],
    },

    pi: {
        package: '@mariozechner/pi-coding-agent',
        env: { PI_OFFLINE: '1' },
        files: (url) => ({ '.pi/agent/models.json': json({
            providers: { rec: {
                baseUrl: url, apiKey: 'none', api: 'openai-completions',
                models: [{
                    id: 'recorded', name: 'recorded', reasoning: true,
                    input: ['text'], contextWindow: 128000, maxTokens: 8000,
                    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
                }],
            } },
        }) }),
        tool: {
            read: (file) => call('read', { path: file, limit: 9 }),
            list: () => call('bash', { command: 'ls' }),
            shell: (command) => call('bash', { command, timeout: 9 }),
            write: (file, content) => call('write', { path: file, content }),
        },
        run: (prompt, again) => [
            bin('pi', 'pi'), '--provider', 'rec', '--model', 'recorded',
            ...again ? ['-c'] : [], '-p', prompt,
        ],
    },
};

/* ---- a program's conversation ---- */

const environment = (more) => ({
    PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, HOME, USER: 'user',
    LOGNAME: 'user', LANG: 'C.UTF-8', TZ: 'UTC', TERM: 'dumb', CI: '1',
    ...more,
});

function put(name, text) {
    mkdirSync(dirname(name), { recursive: true });
    writeFileSync(name, text);
}

function furnish(files) {
    spawnSync('sh', ['-c', `rm -rf ${HOME}/* ${HOME}/.[a-z]*`]);
    put(path('notes.txt'), '  first line\n\tsecond – Grüße 👋\r\n\n');
    put(path('src/main.py'), 'print("hi")\n');
    for (const [name, text] of Object.entries(files)) {
        put(join(HOME, name), text);
    }
    for (const args of [['init', '-q'], ['add', '.'], [
        '-c', 'user.name=user', '-c', 'user.email=user@example.com',
        'commit', '-qm', 'first',
    ]]) {
        spawnSync('git', args, { cwd: PROJECT, env: environment() });
    }
}

function execute(argv, env) {
    return new Promise((done) => {
        const child = spawn(argv[0], argv.slice(1), {
            cwd: PROJECT, env: environment(env), timeout: TURN_LIMIT,
            killSignal: 'SIGKILL', stdio: ['ignore', 'pipe', 'pipe'],
        });
        let said = '';
        child.stdout.on('data', (data) => said += data);
        child.stderr.on('data', (data) => said += data);
        child.on('close', (code) => done({ code, said }));
    });
}

/** One process per turn. */
const perTurn = (client, url) => async (prompt, again) => {
    const { code, said } = await execute(client.run(prompt, again, url),
                                         client.env);
    if (code !== 0 || process.env.VERBOSE) {
        console.error(`"${prompt}": ${code}\n${said}`);
    }
};

/** One process for all turns. */
function held(client, url, server) {
    const { argv, ready, say } = client.held(url);
    const child = spawn(argv[0], argv.slice(1), {
        cwd: PROJECT, stdio: ['pipe', 'pipe', 'ignore'],
        env: environment({ ...client.env, TERM: 'xterm-256color' }),
    });
    let shown = '';
    child.stdout.on('data', (data) => shown += data);

    const until = async (holds) => {
        for (let i = 0; i < 300 && !holds(); i++) {
            await wait(100);
        }
    };
    return {
        async say(prompt) {
            const before = server.turns.length;
            await until(() => shown.includes(ready));
            for (const part of say) {
                await wait(1000);
                child.stdin.write(part(prompt));
            }
            await until(() => server.turns.length > before);
            for (let n = -1; n !== server.turns.length;) {
                n = server.turns.length;
                await wait(3000);
            }
        },
        end: () => child.kill('SIGKILL'),
    };
}

async function talkWith(client, talk, continued) {
    const server = await record({ side: client.side });
    const url = `http://127.0.0.1:${server.port}/v1`;

    furnish(client.files?.(url) ?? {});
    if (client.setup) {
        await execute(client.setup(url), client.env);
    }
    const { say, end } = continued || !client.held
        ? { say: perTurn(client, url) } : held(client, url, server);
    for (const [i, { prompt, answers }] of talk.steps.entries()) {
        server.queue.splice(0, server.queue.length, ...answers);
        await say(prompt, i > 0);
        if (server.queue.length > 0 || server.refused.length > 0) {
            console.error(`${talk.name}, "${prompt}": ${server.queue.length}` +
                          ` answers left, ${server.refused.length} refused`);
        }
        server.refused.length = 0;
    }
    end?.();
    server.close();
    return server.turns;
}

/* ---- what is written ---- */

const digest = (text) => createHash('sha256').update(text).digest('hex')
    .slice(0, 12);

const LONGEST = 400;

const shortened = (text) => text.length <= LONGEST ? text
    : `${text.slice(0, 100)} [… ${text.length} characters, ` +
      `${digest(text)} …] ${text.slice(-60)}`;

const WHOLE_TOOLS = 4;

/** Of a tool only the name and a digest of all the rest. */
function toolOf(tool) {
    const { name } = tool.function ?? tool;
    const short = { name, description: `[${digest(JSON.stringify(tool))}]` };
    return tool.function ? { type: tool.type, function: short }
        : { type: tool.type, ...short };
}

/** Of many tools the first, and the last for all the others. */
function toolsOf(tools) {
    const all = tools.map(toolOf);
    return all.length <= WHOLE_TOOLS ? all : [
        ...all.slice(0, WHOLE_TOOLS - 1), { type: 'function', function: {
            name: `${all.length - WHOLE_TOOLS + 1}_more`,
            description: `[${digest(JSON.stringify(all))}]`,
        } },
    ];
}

function cut(value, key = '') {
    if (typeof value === 'string') {
        return shortened(value);
    }
    if (Array.isArray(value)) {
        return key === 'tools' ? toolsOf(value) : value.map((one) => cut(one));
    }
    return value && typeof value === 'object' ? Object.fromEntries(
        Object.entries(value).map(([name, one]) => [name, cut(one, name)]))
        : value;
}

/** Of the side requests of one kind only the first, for itself. */
function conversations(name, turns) {
    const found = {};
    for (const { side, path: where, request, answer } of turns) {
        const { input_tokens, ...said } = answer;
        const title = side ? `${name}: ${side}` : name;
        if (!side || !found[title]) {
            found[title] ??= { name: title, turns: [] };
            found[title].turns.push({ path: where, request: cut(request),
                                      answer: cut(said) });
        }
    }
    return Object.values(found);
}

/** The talks a program has both in one process and in many. */
const BOTH_WAYS = /^(chat|tools|write)$/;

/** JSON with one turn in a line. */
const written = (client, found) =>
    `{"client":${JSON.stringify(client)},"conversations":[\n` +
    found.map(({ name, turns }) =>
        ` {"name":${JSON.stringify(name)},"turns":[\n` +
        turns.map((turn) => `  ${JSON.stringify(turn)}`).join(',\n') + ']}')
        .join(',\n') + ']}\n';

const versionOf = (client, name) => `${name} ${JSON.parse(readFileSync(
    `${CLIENTS}/${client}/node_modules/${name}/package.json`)).version}`;

async function write(client) {
    const found = [];
    if (programs[client]) {
        const program = programs[client];
        for (const talk of [...talks(program.tool), ...program.more ?? []]) {
            found.push(...conversations(talk.name,
                                        await talkWith(program, talk)));
            if (program.held && program.run && BOTH_WAYS.test(talk.name)) {
                found.push(...conversations(
                    `continued: ${talk.name}`,
                    await talkWith(program, talk, true)));
            }
        }
    }
    else {
        for (const [name, turns] of await sdks[client].talks(
            `${CLIENTS}/${client}`)) {
            found.push(...conversations(name, turns));
        }
    }
    const names = [(programs[client] ?? sdks[client]).package].flat();
    writeFileSync(`${OUT}/${client}.json`, written(
        names.map((name) => versionOf(client, name)).join(', '), found));
    console.log(`${client}: ${found.length} conversations`);
}

/* ---- the namespaces ---- */

const INSIDE = `
    set -e
    ip link set lo up
    hostname host
    mount -t tmpfs none /home
    mount -t tmpfs none /opt
    mkdir ${HOME} ${CLIENTS}
    mount --bind "$1" ${CLIENTS}
    shift
    exec "$@"`;

const [dir, ...wanted] = process.argv.slice(2);
if (!process.env.RECORD_INSIDE) {
    const child = spawn('unshare', [
        '-n', '-m', '-u', '-p', '--fork', '--mount-proc', '--kill-child',
        'sh', '-c', INSIDE, 'sh', dir, process.execPath,
        ...process.argv.slice(1),
    ], { stdio: 'inherit', env: { ...process.env, RECORD_INSIDE: '1' } });
    for (const signal of ['SIGINT', 'SIGTERM']) {
        process.on(signal, () => child.kill('SIGKILL'));
    }
    const [status] = await once(child, 'close');
    process.exit(status ?? 1);
}
mkdirSync(OUT, { recursive: true });
for (const client of wanted.length ? wanted
    : [...Object.keys(programs), ...Object.keys(sdks)]) {
    await write(client);
}
process.exit(0);
