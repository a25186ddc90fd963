// Captures of Claude Code, headless, against the scripted Anthropic server: its log events and, in `.spans`, its beta spans beside them.
import { readFileSync } from 'node:fs';
import { BIN, converse, join, record, run } from './capture.mjs';

const wanted = process.argv.slice(2);
const MODEL = 'claude-sonnet-4-5';
const VERSION = JSON.parse(readFileSync(join(BIN, '..', '@anthropic-ai', 'claude-code', 'package.json'))).version;
const MCP = join(import.meta.dirname, 'mcp_weather.mjs');

const answer = (text, input, output, more = {}) => ({ text, usage: { input, output, ...more } });
const call = (input, output, ...tools) => ({ tools: tools.map(([name, args]) => ({ name, args })), usage: { input, output } });
const bash = (command) => ['Bash', { command, description: 'Run it' }];

/** Requests the agent makes for itself (titles, topics, probes) carry no tools. */
const aux = ({ body }) => (body.tools?.length ? null : { text: 'ok', aux: true, usage: { input: 23, output: 2 } });

const CAPITAL = 'What is the capital of France?';
const NOTES = 'What is the weather in my notes?';
const LOOP = [call(811, 31, bash('ls')), call(907, 37, ['Read', { file_path: 'notes.txt' }]), answer('It is sunny in Paris.', 1013, 41)];
const TOUCH = [call(811, 31, bash('touch made.txt')), answer('I may not do that.', 907, 37)];
const MADE = [call(811, 31, bash('touch made.txt')), answer('Made.', 907, 37)];
const ALLOW = ['--allowedTools', 'Bash(ls:*)', 'Bash(cat:*)', 'Read', 'Agent', 'Task', 'mcp__weather__get_weather'];
const settings = (value) => ['--settings', JSON.stringify(value)];
const denied = (source) => ({ tool_calls: 0, gates: [{ tool: 0, outcome: 'deny', source }] });
const allowed = (count, source) => ({ gates: Array.from({ length: count }, (_, tool) => ({ tool, outcome: 'allow', source })) });
const CONTENT = { OTEL_LOG_USER_PROMPTS: '1', OTEL_LOG_TOOL_DETAILS: '1', OTEL_LOG_TOOL_CONTENT: '1', OTEL_LOG_ASSISTANT_RESPONSES: '1' };
const HOOK = `echo '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"not here"}}'`;

const SCENARIOS = {
  S1: { script: [answer('Paris is the capital of France.', 1203, 57)], prompts: [CAPITAL] },
  S4: { script: LOOP, prompts: [NOTES], args: ALLOW, facts: allowed(2, 'config') },
  'S4.content': { script: LOOP, prompts: [NOTES], args: ALLOW, env: CONTENT, facts: { ...allowed(2, 'config'), content: true } },
  'S4.parallel': {
    script: [call(811, 31, bash('ls'), ['Read', { file_path: 'notes.txt' }]), answer('It is sunny in Paris.', 1013, 41)],
    prompts: [NOTES], args: ALLOW, facts: allowed(2, 'config'),
  },
  'S4.mcp': {
    script: [call(811, 31, ['mcp__weather__get_weather', { city: 'Paris' }]), answer('It is sunny in Paris.', 1013, 41)],
    prompts: ['What is the weather in Paris?'], env: CONTENT,
    args: [...ALLOW, '--mcp-config', JSON.stringify({ mcpServers: { weather: { command: process.execPath, args: [MCP] } } }), '--strict-mcp-config'],
    facts: { ...allowed(1, 'config'), content: true },
  },
  S5: { script: [{ ...answer('The plants need water.', 2311, 457, { cacheRead: 1536, cacheWrite: 384 }), reasoning: 'The list says so.' }], prompts: ['What is to do?'] },
  S6: { script: [{ status: 429 }, answer('Paris.', 1203, 57)], prompts: [CAPITAL] },
  S7: { script: [{ status: 500 }], prompts: [CAPITAL], env: { CLAUDE_CODE_MAX_RETRIES: '1' } },
  S8: { script: [...[811, 907, 1013, 1103, 1201].map((input) => call(input, 31, bash('cat todo.txt'))), answer('Nothing else.', 1307, 41)], prompts: ['What is to do?'], args: ALLOW, facts: allowed(5, 'config') },
  S9: {
    script: [call(811, 31, ['Agent', { description: 'Look it up', prompt: 'Read the notes', subagent_type: 'general-purpose' }]), answer('Sunny.', 607, 23), answer('It is sunny in Paris.', 1013, 41)],
    prompts: [NOTES], args: ALLOW, facts: { ...allowed(1, 'config'), handoffs: 0 },
  },
  S12: { script: [call(811, 31, bash('cat missing.txt')), answer('There is no such file.', 907, 37)], prompts: ['Read it'], args: ALLOW, facts: allowed(1, 'config') },
  two: { script: [answer('Paris.', 1203, 57), answer('Berlin.', 1307, 61)], prompts: [CAPITAL, 'And of Germany?'] },
  'denied.nobody': { script: TOUCH, prompts: ['Make a file'], args: ['--allowedTools', 'Read'], facts: denied(null) },
  'denied.rule': { script: TOUCH, prompts: ['Make a file'], args: settings({ permissions: { deny: ['Bash(touch:*)'] } }), facts: denied('config') },
  'denied.hook': {
    script: TOUCH, prompts: ['Make a file'], facts: denied('hook'),
    args: [...ALLOW, ...settings({ hooks: { PreToolUse: [{ matcher: 'Bash', hooks: [{ type: 'command', command: HOOK }] }] } })],
  },
  'denied.user': { script: TOUCH, prompts: ['Make a file'], ask: { behavior: 'deny', message: 'No, thanks' }, facts: denied('user') },
  'allowed.user': { script: MADE, prompts: ['Make a file'], ask: { behavior: 'allow' }, facts: allowed(1, 'user') },
};

const user = (text) => ({ type: 'user', message: { role: 'user', content: text } });

/** Answers each question for a permission after a wait of 300 ms, as a person would; sends the next prompt when one is answered. */
function person(prompts, ask) {
  const left = prompts.slice(1);
  return (line, say, end) => {
    if (line.type === 'control_request') {
      const response = ask.behavior === 'allow' ? { ...ask, updatedInput: line.request.input } : ask;
      setTimeout(() => say({ type: 'control_response', response: { subtype: 'success', request_id: line.request_id, response } }), 300);
    } else if (line.type === 'result') {
      if (left.length) say(user(left.shift()));
      else end();
    }
  };
}

for (const spans of [false, true]) {
  for (const [scenario, { script, prompts, args = [], env: more = {}, ask, facts = {} }] of Object.entries(SCENARIOS)) {
    const name = `claude-code__claude-code__native__${scenario}${spans ? (scenario.includes('.') ? '-spans' : '.spans') : ''}`;
    if (wanted.length && !wanted.some((word) => name.includes(word))) continue;
    const told = {
      dialect: 'claude_code', library_version: VERSION, instrumentation_package: '@anthropic-ai/claude-code', instrumentation_version: VERSION,
      content: false, runs: prompts.length, ...facts,
    };
    await record(name, { script, aux, facts: told }, ({ project, env, model, sink }) => {
      const spoken = prompts.length > 1 || ask;
      const options = {
        cwd: project,
        env: {
          ...env, ANTHROPIC_BASE_URL: model.url, ANTHROPIC_API_KEY: 'sk-ant-dummy', CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
          CLAUDE_CODE_ENABLE_TELEMETRY: '1', OTEL_LOGS_EXPORTER: 'otlp', OTEL_METRICS_EXPORTER: 'otlp',
          OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf', OTEL_EXPORTER_OTLP_ENDPOINT: sink.url,
          OTEL_LOGS_EXPORT_INTERVAL: '1000', OTEL_METRIC_EXPORT_INTERVAL: '60000',
          ...(spans && { CLAUDE_CODE_ENHANCED_TELEMETRY_BETA: '1', OTEL_TRACES_EXPORTER: 'otlp' }), ...more,
        },
      };
      const common = ['--model', MODEL, ...args];
      if (!spoken) return run(join(BIN, 'claude'), ['-p', prompts[0], ...common], options);
      const talk = ['--input-format', 'stream-json', '--output-format', 'stream-json', '--verbose', ...(ask ? ['--permission-prompt-tool', 'stdio'] : [])];
      return converse(join(BIN, 'claude'), ['-p', ...talk, ...common], options, [user(prompts[0])], person(prompts, ask));
    });
  }
}
