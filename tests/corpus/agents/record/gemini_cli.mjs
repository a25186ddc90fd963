// Captures of the Gemini CLI, headless, against the scripted Gemini server: its log events and its spans.
import { readFileSync } from 'node:fs';
import { BIN, converse, join, mkdirSync, record, run, writeFileSync } from './capture.mjs';

const wanted = process.argv.slice(2);
const MODEL = 'gemini-2.5-flash';
const VERSION = JSON.parse(readFileSync(join(BIN, '..', '@google', 'gemini-cli', 'package.json'))).version;
const MCP = join(import.meta.dirname, 'mcp_weather.mjs');

const answer = (text, input, output, more = {}) => ({ text, usage: { input, output, ...more } });
const call = (input, output, ...tools) => ({ tools: tools.map(([name, args]) => ({ name, args })), usage: { input, output } });
const shell = (command) => ['run_shell_command', { command, description: 'Run it' }];

const CAPITAL = 'What is the capital of France?';
const NOTES = 'What is the weather in my notes?';
const LOOP = [call(811, 31, ['list_directory', { dir_path: '.' }]), call(907, 37, ['read_file', { file_path: 'notes.txt' }]), answer('It is sunny in Paris.', 1013, 41)];
const TOUCH = [call(811, 31, shell('touch made.txt')), answer('I may not do that.', 907, 37)];
const allowed = (count, source) => ({ gates: Array.from({ length: count }, (_, tool) => ({ tool, outcome: 'allow', source })) });
const denied = (source) => ({ tool_calls: 0, gates: [{ tool: 0, outcome: 'deny', source }] });

const CONVERSATION = [
  { ...LOOP[0], usage: { input: 2203, output: 311, cacheRead: 1024, reasoning: 192 } },
  { ...LOOP[1], usage: { input: 2621, output: 283, cacheRead: 2048, reasoning: 128 } },
  { ...LOOP[2], usage: { input: 2917, output: 401, cacheRead: 2560, reasoning: 256 } },
];
const rule = (decision, more = '') => `[[rule]]\ntoolName = "run_shell_command"\n${more}decision = "${decision}"\npriority = 500\n`;
const FORBIDDEN = rule('deny', 'commandPrefix = "touch"\n');
const HOOK = `echo '{"decision":"deny","reason":"not here"}'`;
const capital = { prompts: [CAPITAL] };

const SCENARIOS = {
  S1: { ...capital, script: [answer('Paris is the capital of France.', 1203, 57)] },
  'S1.spans': { ...capital, script: [answer('Paris is the capital of France.', 1203, 57)], spans: true },
  S4: { script: LOOP, prompts: [NOTES], facts: allowed(2, 'config') },
  'S4.spans': { script: LOOP, prompts: [NOTES], spans: true, facts: allowed(2, 'config') },
  'S4.content': { script: LOOP, prompts: [NOTES], content: true, facts: allowed(2, 'config') },
  'S4.content-spans': { script: LOOP, prompts: [NOTES], content: true, spans: true, facts: allowed(2, 'config') },
  'S4.parallel-spans': {
    script: [call(811, 31, ['list_directory', { dir_path: '.' }], ['read_file', { file_path: 'notes.txt' }]), answer('It is sunny in Paris.', 1013, 41)],
    prompts: [NOTES], spans: true, facts: allowed(2, 'config'),
  },
  'S4.mcp-spans': {
    script: [call(811, 31, ['mcp_weather_get_weather', { city: 'Paris' }]), answer('It is sunny in Paris.', 1013, 41)],
    prompts: ['What is the weather in Paris?'], mcp: true, spans: true, content: true, facts: allowed(1, 'config'),
  },
  C1: { script: CONVERSATION, prompts: [NOTES], facts: allowed(2, 'config') },
  'C1.spans': { script: CONVERSATION, prompts: [NOTES], spans: true, facts: allowed(2, 'config') },
  S6: { ...capital, script: [{ status: 429 }, answer('Paris.', 1203, 57)] },
  'S6.spans': { ...capital, script: [{ status: 429 }, answer('Paris.', 1203, 57)], spans: true },
  S7: { ...capital, script: [{ status: 400, message: 'bad request' }] },
  'S7.spans': { ...capital, script: [{ status: 400, message: 'bad request' }], spans: true },
  S8: { script: [...[811, 907, 1013, 1103, 1201].map((input) => call(input, 31, ['read_file', { file_path: 'todo.txt' }])), answer('Nothing else.', 1307, 41)], prompts: ['What is to do?'], facts: { tool_calls: 4, notes: ['the agent stops the fifth call itself: its stream is cut, its usage is nowhere'] } },
  'S12.spans': { script: [call(811, 31, ['read_file', { file_path: 'missing.txt' }]), answer('There is no such file.', 907, 37)], prompts: ['Read it'], spans: true, facts: allowed(1, 'config') },
  two: { script: [answer('Paris.', 1203, 57), answer('Berlin.', 1307, 61)], prompts: [CAPITAL, 'And of Germany?'] },
  'denied.nobody': { script: TOUCH, prompts: ['Make a file'], policy: rule('ask_user'), args: ['--approval-mode', 'default'], facts: denied(null) },
  'denied.rule': { script: TOUCH, prompts: ['Make a file'], policy: FORBIDDEN, facts: denied('config') },
  'denied.rule-spans': { script: TOUCH, prompts: ['Make a file'], policy: FORBIDDEN, spans: true, facts: denied('config') },
  'denied.user': { script: TOUCH, prompts: ['Make a file'], choose: 'reject', args: ['--approval-mode', 'default'], policy: rule('ask_user'), facts: denied('user') },
  'allowed.user': { script: [TOUCH[0], answer('Made.', 907, 37)], prompts: ['Make a file'], choose: 'allow_once', policy: rule('ask_user'), args: ['--approval-mode', 'default'], facts: allowed(1, 'user') },
  'allowed.user-spans': { script: [TOUCH[0], answer('Made.', 907, 37)], prompts: ['Make a file'], choose: 'allow_once', spans: true, policy: rule('ask_user'), args: ['--approval-mode', 'default'], facts: allowed(1, 'user') },
  'denied.unknown': { script: TOUCH, prompts: ['Make a file'], policy: rule('deny'), facts: denied('config') },
  'denied.hook': {
    script: TOUCH, prompts: ['Make a file'], facts: denied('hook'),
    settings: { hooks: { BeforeTool: [{ matcher: 'run_shell_command', hooks: [{ name: 'no', type: 'command', command: HOOK }] }] } },
  },
};

/** A client of the agent's protocol for editors that answers each question for a permission after 300 ms, as a person would. */
function person(prompt, choose, cwd) {
  return (line, say, end) => {
    const reply = (id, method, params) => say({ jsonrpc: '2.0', id, method, params });
    if (line.id === 0 && line.result) reply(1, 'session/new', { cwd, mcpServers: [] });
    else if (line.id === 1 && line.result) reply(2, 'session/prompt', { sessionId: line.result.sessionId, prompt: [{ type: 'text', text: prompt }] });
    else if (line.method === 'session/request_permission') {
      const { optionId } = line.params.options.find((option) => option.kind.startsWith(choose));
      setTimeout(() => say({ jsonrpc: '2.0', id: line.id, result: { outcome: { outcome: 'selected', optionId } } }), 300);
    } else if (line.id === 2) end();
  };
}

/** Requests the agent makes for itself carry no tools. */
const aux = ({ body }) => (body.tools?.length ? null : { text: '{}', aux: true, usage: { input: 23, output: 2 } });

for (const [scenario, { script, prompts, args = ['--approval-mode', 'yolo'], mcp = false, content = false, spans = false, policy = '', choose, settings = {}, facts = {} }] of Object.entries(SCENARIOS)) {
  const name = `gemini-cli__gemini-cli__native__${scenario}`;
  if (wanted.length && !wanted.some((word) => name.includes(word))) continue;
  const told = {
    dialect: 'gemini_cli', library_version: VERSION, instrumentation_package: '@google/gemini-cli', instrumentation_version: VERSION,
    content, runs: prompts.length, ...facts,
  };
  await record(name, { script, aux, facts: told }, async ({ home, project, env, model, sink }) => {
    mkdirSync(join(home, '.gemini'));
    writeFileSync(join(home, '.gemini', 'settings.json'), JSON.stringify({
      security: { auth: { selectedType: 'gemini-api-key' }, folderTrust: { enabled: false } },
      general: { disableAutoUpdate: true, disableUpdateNag: true },
      privacy: { usageStatisticsEnabled: false },
      telemetry: { enabled: true, target: 'local', otlpEndpoint: sink.url, otlpProtocol: 'http', logPrompts: content, traces: spans },
      tools: { core: ['list_directory', 'read_file', 'run_shell_command', ...(mcp ? ['mcp_weather_get_weather', 'get_weather'] : [])] },
      ...(mcp && { mcpServers: { weather: { command: process.execPath, args: [MCP], trust: true } } }),
      ...settings,
    }));
    if (policy) {
      mkdirSync(join(home, '.gemini', 'policies'));
      writeFileSync(join(home, '.gemini', 'policies', 'ours.toml'), policy);
    }
    // Its own system prompt is long; ours is enough to see where a system prompt goes.
    writeFileSync(join(home, 'system.md'), 'You are a travel assistant. Answer in one sentence.');
    const options = { cwd: project, env: { ...env, GEMINI_SYSTEM_MD: join(home, 'system.md'), GEMINI_API_KEY: 'dummy', GOOGLE_GEMINI_BASE_URL: model.url } };
    const common = ['--model', MODEL, ...args];
    if (choose) {
      const first = { jsonrpc: '2.0', id: 0, method: 'initialize', params: { protocolVersion: 1, clientCapabilities: {} } };
      return converse(join(BIN, 'gemini'), [...common, '--acp'], options, [first], person(prompts[0], choose, project));
    }
    let result = await run(join(BIN, 'gemini'), [...common, '--prompt', prompts[0]], options);
    for (const prompt of prompts.slice(1)) result = await run(join(BIN, 'gemini'), [...common, '--resume', 'latest', '--prompt', prompt], options);
    return result;
  });
}
