// The captures: a program, its environment, and the scenarios; a name is `family__library__instrumentation__scenario[.variant]`.
const vercel = (version, mode, scenarios, more = {}) => ({
  name: `${mode === 'new' ? 'vercel-new' : 'vercel'}__ai${version}-openai__${mode === 'new' ? 'ai-sdk-otel' : 'ai-sdk-legacy'}`, program: 'vercel.mjs', dialect: 'vercel_ai',
  library: `ai${version}`, ...(version === 7 && { instrumentation: '@ai-sdk/otel' }), env: { AI: String(version), MODE: mode }, session: 'session-4711', scenarios, ...more,
});
const claude = (family) => ({ ...family, name: family.name.replace('-openai', '-anthropic'), provider: 'anthropic' });
const ALL = ['S1', 'S2', 'S4', 'S4.nocontent', 'S5', 'S6', 'S7', 'S11', 'S12', 'C1', 'object'];

export const FAMILIES = [
  vercel(4, 'legacy', ALL), vercel(5, 'legacy', ALL), vercel(6, 'legacy', [...ALL, 'S4.stream', 'S4.responses', 'S8', 'S10', 'approved', 'refused', 'S4.openinference', 'C1.openinference']),
  vercel(7, 'legacy', ALL), vercel(7, 'new', [...ALL, 'S4.supplemental', 'C1.supplemental', 'S4.stream', 'S4.responses', 'S8', 'S10', 'approved', 'refused']),
  claude(vercel(4, 'legacy', ['S1', 'S4', 'S5', 'C1'])), claude(vercel(5, 'legacy', ['S1', 'S2', 'S4', 'S5', 'C1'])),
  claude(vercel(6, 'legacy', ['S1', 'S2', 'S4', 'S5', 'C1'])), claude(vercel(7, 'new', ['S1', 'S2', 'S4', 'S5', 'C1'])),
];

const openai = (family, setup, instrumentation, dialect, scenarios, more = {}) => ({
  name: `${family}__openai-chat__${setup}-js`, program: 'openai_chat.mjs', library: 'openai', instrumentation, dialect, env: { SETUP: setup }, scenarios, session: 'session-4711', ...more,
});
const CHAT = ['S1', 'S2', 'S3', 'S4', 'S4.nocontent', 'S5', 'S6', 'S7', 'S11', 'C1', 'C1.responses'];

FAMILIES.push(
  openai('openinference', 'openinference', '@arizeai/openinference-instrumentation-openai', 'openinference', CHAT, { appSpan: ['S4', 'C1'] }),
  openai('otel', 'otel', '@opentelemetry/instrumentation-openai', 'otel_genai_1_36', CHAT.filter((name) => name !== 'C1.responses'), { appSpan: ['S4', 'C1'], session: null }),
  openai('openllmetry', 'traceloop', '@traceloop/node-server-sdk', 'openllmetry', CHAT),
  openai('langfuse', 'langfuse', '@langfuse/openai', 'langfuse', CHAT.filter((name) => name !== 'S4.nocontent'), { appSpan: ['S4', 'C1'] }),
  openai('langsmith', 'langsmith', 'langsmith', 'langsmith', CHAT.filter((name) => name !== 'S4.nocontent')),
  openai('openlit', 'openlit', 'openlit', 'openlit', CHAT),
  openai('laminar', 'laminar', '@lmnr-ai/lmnr', 'laminar', CHAT.filter((name) => name !== 'S4.nocontent')),
);

const anthropic = (family, setup, instrumentation, dialect, scenarios) => ({
  name: `${family}__anthropic__${setup}-js`, program: 'anthropic_messages.mjs', library: '@anthropic-ai/sdk', instrumentation, dialect, env: { SETUP: setup }, provider: 'anthropic', scenarios, session: 'session-4711',
});
const langchain = (family, setup, instrumentation, dialect, scenarios) => ({
  name: `${family}__langchain__${setup}-js`, program: 'langchain_agent.mjs', library: 'langchain', instrumentation, dialect, env: { SETUP: setup }, scenarios, session: 'session-4711',
});
const agents = (family, setup, instrumentation, dialect, scenarios) => ({
  name: `${family}__openai-agents__${setup}-js`, program: '../zod4/openai_agents.mjs', library: '../zod4/node_modules/@openai/agents', instrumentation, dialect, env: { SETUP: setup }, scenarios, handoverTool: 'transfer_to_Expert', session: 'session-4711',
});
const MESSAGES = ['S1', 'S2', 'S4', 'S5', 'S7', 'C1'];
const GRAPH = ['S1', 'S2', 'S4', 'S5', 'S7', 'S12', 'C1'];

FAMILIES.push(
  anthropic('openinference', 'openinference', '@arizeai/openinference-instrumentation-anthropic', 'openinference', MESSAGES),
  anthropic('openllmetry', 'traceloop', '@traceloop/node-server-sdk', 'openllmetry', MESSAGES),
  anthropic('openlit', 'openlit', 'openlit', 'openlit', MESSAGES),
  langchain('openinference', 'openinference', '@arizeai/openinference-instrumentation-langchain', 'openinference', [...GRAPH, 'S4.nocontent', 'approved', 'refused']),
  langchain('openllmetry', 'traceloop', '@traceloop/node-server-sdk', 'openllmetry', GRAPH),
  langchain('langfuse', 'langfuse', '@langfuse/langchain', 'langfuse', [...GRAPH, 'approved', 'refused']),
  agents('openinference', 'openinference', '@arizeai/openinference-instrumentation-openai-agents', 'openinference', ['S1', 'S4', 'S4.chat', 'S5', 'S7', 'S9', 'S12', 'C1', 'approved', 'refused']),
  {
    name: 'genkit__genkit-openai__genkit', program: 'genkit_flow.mjs', library: 'genkit', dialect: 'genkit', env: {},
    scenarios: ['S1', 'S2', 'S4', 'S5', 'S6', 'S7', 'S8', 'S11', 'S12', 'C1', 'object'],
  },
);

const guards = (...outcomes) => ({ failed: 0, gates: outcomes.map((outcome, at) => ({ tool: null, name: 'pii', phase: at ? 'output' : 'input', outcome, source: 'policy' })) });
const NATIVE = ['S1', 'S4', 'S5', 'S7', 'S8', 'S12', 'C1'];

FAMILIES.push(
  { name: 'strands__strands-openai__strands-js', program: '../zod4/strands_agent.mjs', library: '../zod4/node_modules/@strands-agents/sdk', dialect: 'strands', env: {}, scenarios: NATIVE, session: 'session-4711' },
  { name: 'strands__strands-anthropic__strands-js', program: '../zod4/strands_agent.mjs', library: '../zod4/node_modules/@strands-agents/sdk', dialect: 'strands', env: {}, provider: 'anthropic', scenarios: ['S4', 'C1'], session: 'session-4711' },
  { name: 'adk__google-adk__adk-js', program: 'adk_agent.mjs', library: '@google/adk', dialect: 'google_adk', env: {}, provider: 'gemini', scenarios: NATIVE, session: 'session-4711' },
  {
    name: 'openlit__openai-chat__openlit-guards-js', appSpan: ['S1', 'S1.denied', 'S1.redacted', 'S1.warned'], program: 'openlit_guards.mjs', library: 'openai', instrumentation: 'openlit', dialect: 'openlit', env: {}, scenarios: ['S1', 'S1.denied', 'S1.redacted', 'S1.warned'],
    facts: {
      S1: guards('allow', 'allow'), 'S1.denied': guards('deny'), 'S1.redacted': guards('modify', 'allow'), 'S1.warned': guards('warn', 'allow'),
    },
  },
);

FAMILIES.push({
  name: 'mastra__mastra-openai__mastra', program: '../mastra/mastra_agent.mjs', library: '../mastra/node_modules/@mastra/core', instrumentation: '../mastra/node_modules/@mastra/otel-exporter', dialect: 'otel_genai',
  env: {}, scenarios: ['S1', 'S2', 'S4', 'S5', 'S7', 'S12', 'C1'], session: 'session-4711',
});
