// Captures of the GitHub Copilot CLI with a provider of one's own (no account needed) against the scripted server: its spans.
import { readFileSync } from 'node:fs';
import { BIN, join, mkdirSync, record, run, writeFileSync } from './capture.mjs';

const wanted = process.argv.slice(2);
const VERSION = JSON.parse(readFileSync(join(BIN, '..', '@github', 'copilot', 'package.json'))).version;
const MCP = join(import.meta.dirname, 'mcp_weather.mjs');
const WIRES = {
  chat: { model: 'gpt-4o-mini', env: (url) => ({ COPILOT_PROVIDER_TYPE: 'openai', COPILOT_PROVIDER_WIRE_API: 'completions', COPILOT_PROVIDER_BASE_URL: `${url}/v1` }) },
  responses: { model: 'o4-mini', env: (url) => ({ COPILOT_PROVIDER_TYPE: 'openai', COPILOT_PROVIDER_WIRE_API: 'responses', COPILOT_PROVIDER_BASE_URL: `${url}/v1` }) },
  anthropic: { model: 'claude-sonnet-4-5', env: (url) => ({ COPILOT_PROVIDER_TYPE: 'anthropic', COPILOT_PROVIDER_BASE_URL: url }) },
};

const answer = (text, input, output, more = {}) => ({ text, usage: { input, output, ...more } });
const call = (input, output, ...tools) => ({ tools: tools.map(([name, args]) => ({ name, args })), usage: { input, output } });
const bash = (command) => ['bash', { command, description: 'Run it' }];

const CAPITAL = 'What is the capital of France?';
const NOTES = 'What is the weather in my notes?';
const LOOP = [call(811, 31, bash('ls')), call(907, 37, bash('cat notes.txt')), answer('It is sunny in Paris.', 1013, 41)];
const TOUCH = [call(811, 31, bash('touch made.txt')), answer('I may not do that.', 907, 37)];
const allowed = (count, source) => ({ gates: Array.from({ length: count }, (_, tool) => ({ tool, outcome: 'allow', source })) });
const denied = (source) => ({ tool_calls: 0, gates: [{ tool: 0, outcome: 'deny', source }] });

const CONVERSATION = (other) => [
  { ...LOOP[0], usage: { input: 2203, output: 311, cacheRead: 1024, [other]: 192 } },
  { ...LOOP[1], usage: { input: 2621, output: 283, cacheRead: 2048, [other]: 128 } },
  { ...LOOP[2], usage: { input: 2917, output: 401, cacheRead: 2560, [other]: 256 } },
];
const HOOK = { version: 1, hooks: { preToolUse: [{ type: 'command', bash: `echo '{"permissionDecision":"deny","permissionDecisionReason":"not here"}'` }] } };
const file = { prompts: ['Make a file'] };
const notes = { prompts: [NOTES], facts: allowed(2, 'config') };

const SCENARIOS = {
  S1: { script: [answer('Paris is the capital of France.', 1203, 57)], prompts: [CAPITAL] },
  S4: { script: LOOP, ...notes },
  'S4.content': { script: LOOP, ...notes, content: true },
  'S4.anthropic': { script: LOOP, ...notes, wire: 'anthropic', content: true },
  'S4.responses': { script: LOOP, ...notes, wire: 'responses', content: true },
  'S4.parallel': { script: [call(811, 31, bash('ls'), bash('cat notes.txt')), answer('It is sunny in Paris.', 1013, 41)], ...notes },
  'S4.mcp': {
    script: [call(811, 31, ['weather-get_weather', { city: 'Paris' }]), answer('It is sunny in Paris.', 1013, 41)], prompts: ['What is the weather in Paris?'], content: true, facts: allowed(1, 'config'),
    args: ['--allow-all-tools', '--additional-mcp-config', JSON.stringify({ mcpServers: { weather: { type: 'local', command: process.execPath, args: [MCP], tools: ['*'] } } })],
  },
  C1: { script: CONVERSATION('reasoning'), ...notes, wire: 'responses' },
  'C1.anthropic': { script: CONVERSATION('cacheWrite'), ...notes, wire: 'anthropic' },
  S6: { script: [{ status: 429 }, answer('Paris.', 1203, 57)], prompts: [CAPITAL] },
  S7: { script: [{ status: 400, message: 'bad request' }], prompts: [CAPITAL] },
  S8: { script: [...[811, 907, 1013, 1103, 1201].map((input) => call(input, 31, bash('cat todo.txt'))), answer('Nothing else.', 1307, 41)], prompts: ['What is to do?'], facts: allowed(5, 'config') },
  S9: {
    script: [call(811, 31, ['task', { agent_type: 'general-purpose', description: 'Look it up', prompt: 'Read the notes', name: 'reader', mode: 'sync' }]), answer('Sunny.', 607, 23), answer('It is sunny in Paris.', 1013, 41)],
    prompts: [NOTES], facts: allowed(1, 'config'),
  },
  S12: { script: [call(811, 31, bash('cat missing.txt')), answer('There is no such file.', 907, 37)], prompts: ['Read it'], facts: allowed(1, 'config') },
  two: { script: [answer('Paris.', 1203, 57), answer('Berlin.', 1307, 61)], prompts: [CAPITAL, 'And of Germany?'] },
  'denied.nobody': { script: TOUCH, ...file, args: [], facts: denied(null) },
  'denied.rule': { script: TOUCH, ...file, args: ['--allow-all-tools', '--deny-tool', 'shell(touch:*)'], facts: denied('config') },
  'denied.hook': { script: TOUCH, ...file, hooks: HOOK, facts: denied('hook') },
};

/** Requests the agent makes for itself carry no tools. */
const aux = ({ body }) => (body.tools?.length ? null : { text: 'ok', aux: true, usage: { input: 23, output: 2 } });

for (const [scenario, { script, prompts, wire = 'chat', args = ['--allow-all-tools'], content = false, hooks, facts = {} }] of Object.entries(SCENARIOS)) {
  const name = `copilot-cli__copilot-cli__native__${scenario}`;
  if (wanted.length && !wanted.some((word) => name.includes(word))) continue;
  const told = {
    dialect: 'copilot_cli', library_version: VERSION, instrumentation_package: '@github/copilot', instrumentation_version: VERSION,
    content, runs: prompts.length, ...facts,
  };
  await record(name, { script, aux, facts: told }, async ({ home, project, env, model, sink }) => {
    const options = {
      cwd: project,
      env: {
        ...env, ...WIRES[wire].env(model.url), COPILOT_MODEL: WIRES[wire].model, COPILOT_PROVIDER_API_KEY: 'dummy', COPILOT_OFFLINE: 'true', COPILOT_AUTO_UPDATE: 'false',
        OTEL_EXPORTER_OTLP_ENDPOINT: sink.url, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
        ...(content && { OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: 'true' }),
      },
    };
    const common = ['--available-tools', 'bash', 'task', 'weather-get_weather', ...args];
    if (hooks) {
      mkdirSync(join(home, '.copilot', 'hooks'), { recursive: true });
      writeFileSync(join(home, '.copilot', 'hooks', 'ours.json'), JSON.stringify(hooks));
    }
    let result = await run(join(BIN, 'copilot'), ['-p', prompts[0], ...common], options);
    for (const prompt of prompts.slice(1)) result = await run(join(BIN, 'copilot'), ['--continue', '-p', prompt, ...common], options);
    return result;
  });
}
