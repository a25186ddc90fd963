// Captures of the Codex CLI (`codex exec`) against the scripted Responses server: its log events and its spans.
import { readFileSync } from 'node:fs';
import { BIN, converse, join, mkdirSync, record, run, writeFileSync } from './capture.mjs';

const wanted = process.argv.slice(2);
const MODEL = 'gpt-5-codex';
const VERSION = JSON.parse(readFileSync(join(BIN, '..', '@openai', 'codex', 'package.json'))).version;
const MCP = join(import.meta.dirname, 'mcp_weather.mjs');

const answer = (text, input, output, more = {}) => ({ text, usage: { input, output, ...more } });
const call = (input, output, ...tools) => ({ tools: tools.map(([name, args]) => ({ name, args })), usage: { input, output } });
const shell = (command) => [process.env.CODEX_SHELL ?? 'exec_command', { cmd: command }];

const CAPITAL = 'What is the capital of France?';
const NOTES = 'What is the weather in my notes?';
const LOOP = [call(811, 31, shell('ls')), call(907, 37, shell('cat notes.txt')), answer('It is sunny in Paris.', 1013, 41)];
const CONVERSATION = [
  { ...LOOP[0], usage: { input: 2203, output: 311, cacheRead: 1024, reasoning: 192 } },
  { ...LOOP[1], usage: { input: 2621, output: 283, cacheRead: 2048, reasoning: 128 } },
  { ...LOOP[2], usage: { input: 2917, output: 401, cacheRead: 2560, reasoning: 256 } },
];
const TOUCH = [call(811, 31, shell('touch made.txt')), answer('I may not do that.', 907, 37)];
const allowed = (count, source) => ({ gates: Array.from({ length: count }, (_, tool) => ({ tool, outcome: 'allow', source })) });
const denied = (source) => ({ tool_calls: 0, gates: [{ tool: 0, outcome: 'deny', source }] });

const RULES = 'prefix_rule(pattern = ["touch"], decision = "forbidden", justification = "not here")\n';

const SCENARIOS = {
  S1: { script: [answer('Paris is the capital of France.', 1203, 57)], prompts: [CAPITAL] },
  S4: { script: LOOP, prompts: [NOTES], facts: allowed(2, 'config') },
  'S4.content': { script: LOOP, prompts: [NOTES], content: true, facts: allowed(2, 'config') },
  'C1.spans': { script: CONVERSATION, prompts: [NOTES], spans: true, facts: allowed(2, 'config') },
  'S4.parallel': {
    script: [call(811, 31, shell('ls'), shell('cat notes.txt')), answer('It is sunny in Paris.', 1013, 41)], prompts: [NOTES], facts: allowed(2, 'config'),
  },
  'S4.mcp': {
    script: [{ tools: [{ name: 'get_weather', namespace: 'mcp__weather', args: { city: 'Paris' } }], usage: { input: 811, output: 31 } }, answer('It is sunny in Paris.', 1013, 41)],
    prompts: ['What is the weather in Paris?'], mcp: true, facts: allowed(1, 'config'),
  },
  S5: { script: [{ ...answer('The plants need water.', 2311, 457, { cacheRead: 1536, reasoning: 320 }) }], prompts: ['What is to do?'] },
  S6: { script: [{ status: 429 }, answer('Paris.', 1203, 57)], prompts: [CAPITAL] },
  'S6.500': { script: [{ status: 500 }, answer('Paris.', 1203, 57)], prompts: [CAPITAL] },
  S7: { script: [{ status: 500 }], prompts: [CAPITAL], server: true },
  S8: { script: [...[811, 907, 1013, 1103, 1201].map((input) => call(input, 31, shell('cat todo.txt'))), answer('Nothing else.', 1307, 41)], prompts: ['What is to do?'], facts: allowed(5, 'config') },
  S12: { script: [call(811, 31, shell('cat missing.txt')), answer('There is no such file.', 907, 37)], prompts: ['Read it'], facts: allowed(1, 'config') },
  two: { script: [answer('Paris.', 1203, 57), answer('Berlin.', 1307, 61)], prompts: [CAPITAL, 'And of Germany?'], server: true },
  'two.resumed': { script: [answer('Paris.', 1203, 57), answer('Berlin.', 1307, 61)], prompts: [CAPITAL, 'And of Germany?'] },
  'denied.rule': { script: TOUCH, prompts: ['Make a file'], rules: RULES, args: ['-s', 'workspace-write'], facts: denied('config') },
  'denied.user': { script: TOUCH, prompts: ['Make a file'], decision: 'decline', facts: denied('user') },
  'allowed.user': { script: [TOUCH[0], answer('Made.', 907, 37)], prompts: ['Make a file'], decision: 'accept', facts: allowed(1, 'user') },
  'allowed.user-spans': { script: [TOUCH[0], answer('Made.', 907, 37)], prompts: ['Make a file'], decision: 'acceptForSession', spans: true, facts: allowed(1, 'user') },
  'denied.sandbox': { script: TOUCH, prompts: ['Make a file'], args: ['-s', 'read-only'], facts: { gates: [{ tool: 0, outcome: 'allow', source: 'config' }, { tool: 0, outcome: 'deny', source: 'system' }] } },
};

const config = ({ model, sink, content, mcp, spans }) => `
model = "${MODEL}"
model_provider = "scripted"
check_for_update_on_startup = false

[model_providers.scripted]
name = "scripted"
base_url = "${model.url}/v1"
env_key = "SCRIPTED_KEY"
wire_api = "responses"
request_max_retries = 1
stream_max_retries = 1

[analytics]
enabled = false

[otel]
environment = "test"
log_user_prompt = ${content}
metrics_exporter = "none"
exporter = { otlp-http = { endpoint = "${sink.url}/v1/logs", protocol = "binary" } }
trace_exporter = ${spans ? `{ otlp-http = { endpoint = "${sink.url}/v1/traces", protocol = "binary" } }` : '"none"'}
${mcp ? `[mcp_servers.weather]\ncommand = ${JSON.stringify(process.execPath)}\nargs = [${JSON.stringify(MCP)}]\n` : ''}`;

/** A client of the app server that answers each request for approval after 300 ms, as a person would. */
function person(prompts, decision, cwd) {
  const left = [...prompts];
  let thread;
  let id = 10;
  const turn = (say) => say({ method: 'turn/start', id: (id += 1), params: { threadId: thread, input: [{ type: 'text', text: left.shift() }] } });
  return (line, say, end) => {
    if (line.id === 1 && line.result) {
      say({ method: 'initialized' });
      say({ method: 'thread/start', id: 2, params: { model: MODEL, cwd, approvalPolicy: decision ? 'untrusted' : 'never', sandbox: 'danger-full-access' } });
    } else if (line.id === 2 && line.result) {
      thread = line.result.thread.id;
      turn(say);
    } else if (line.method?.endsWith('requestApproval')) {
      setTimeout(() => say({ id: line.id, result: { decision } }), 300);
    } else if (line.method === 'turn/completed') {
      if (left.length) turn(say);
      else setTimeout(end, 1500);
    }
  };
}

for (const [scenario, { script, prompts, args = ['--dangerously-bypass-approvals-and-sandbox'], mcp = false, content = false, spans = false, rules = '', decision, server = Boolean(decision), facts = {} }] of Object.entries(SCENARIOS)) {
  const name = `codex__codex__native__${scenario}`;
  if (wanted.length && !wanted.some((word) => name.includes(word))) continue;
  const told = {
    dialect: 'codex_cli', library_version: VERSION, instrumentation_package: '@openai/codex', instrumentation_version: VERSION,
    content, runs: prompts.length, ...facts,
  };
  await record(name, { script, facts: told }, async ({ home, project, env, model, sink }) => {
    mkdirSync(join(home, '.codex'));
    writeFileSync(join(home, '.codex', 'config.toml'), config({ model, sink, content, mcp, spans }));
    if (rules) {
      mkdirSync(join(home, '.codex', 'rules'));
      writeFileSync(join(home, '.codex', 'rules', 'default.rules'), rules);
    }
    const options = { cwd: project, env: { ...env, SCRIPTED_KEY: 'dummy' } };
    if (server) {
      const first = { method: 'initialize', id: 1, params: { clientInfo: { name: 'recorder', title: 'recorder', version: '1.0.0' } } };
      return converse(join(BIN, 'codex'), ['app-server', '--listen', 'stdio://'], options, [first], person(prompts, decision, project));
    }
    const common = ['--skip-git-repo-check', ...args];
    let result = await run(join(BIN, 'codex'), ['exec', ...common, prompts[0]], options);
    for (const prompt of prompts.slice(1)) result = await run(join(BIN, 'codex'), ['exec', ...common, 'resume', '--last', prompt], options);
    return result;
  });
}
