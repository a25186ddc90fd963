// Telemetry set up by a vendor's own package, by name; each sends to the recorder. `modules` are the client libraries to instrument
// ({openai, anthropic, langchain: callbacks module}); what comes back wraps a client where the vendor has it so, and ends the run.
import { CONTENT, SESSION, SINK_URL, USER, exporter, setUp } from './harness.mjs';

const same = (client) => client;

async function openinference({ openai, anthropic, langchain, agents }) {
  const options = CONTENT ? {} : { traceConfig: { hideInputs: true, hideOutputs: true } };
  const { finish } = setUp({ attributes: { 'openinference.project.name': 'travel' } });
  if (openai) {
    const { OpenAIInstrumentation } = await import('@arizeai/openinference-instrumentation-openai');
    new OpenAIInstrumentation(options).manuallyInstrument(openai.default);
  }
  if (anthropic) {
    const { AnthropicInstrumentation } = await import('@arizeai/openinference-instrumentation-anthropic');
    new AnthropicInstrumentation(options).manuallyInstrument(anthropic.default);
  }
  if (langchain) {
    const { LangChainInstrumentation } = await import('@arizeai/openinference-instrumentation-langchain');
    new LangChainInstrumentation(options).manuallyInstrument(langchain);
  }
  if (agents) {
    const { OpenAIAgentsInstrumentation } = await import('@arizeai/openinference-instrumentation-openai-agents');
    new OpenAIAgentsInstrumentation(options).manuallyInstrument(agents);
  }
  const { context } = await import('@opentelemetry/api');
  const { setSession, setUser } = await import('@arizeai/openinference-core');
  return { wrap: same, finish, inContext: (one) => context.with(setUser(setSession(context.active(), { sessionId: SESSION }), { userId: USER }), one) };
}

async function traceloop({ openai, anthropic }) {
  const sdk = await import('@traceloop/node-server-sdk');
  sdk.initialize({
    appName: 'travel-assistant', exporter: exporter(), disableBatch: false, traceContent: CONTENT, silenceInitializationMessage: true, traceloopSyncEnabled: false, apiKey: 'dummy', baseUrl: SINK_URL,
    instrumentModules: { ...(openai && { openAI: openai.default }), ...(anthropic && { anthropic }), langchain: true }, logLevel: 'error',
  });
  const inContext = (one) => sdk.withWorkflow({ name: 'travel', associationProperties: { session_id: SESSION, user_id: USER } }, one);
  return { wrap: same, finish: () => sdk.forceFlush(), inContext, tool: (name, run) => (args) => sdk.withTool({ name }, run, args) };
}

async function otel({ openai }) {
  if (CONTENT) process.env.OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT = 'true';
  const { finish, loggers } = setUp();
  const { OpenAIInstrumentation } = await import('@opentelemetry/instrumentation-openai');
  const instrumentation = new OpenAIInstrumentation({ captureMessageContent: CONTENT });
  instrumentation.setLoggerProvider(loggers);
  // It patches modules while they load; this one is loaded already.
  for (const definition of instrumentation.init()) definition.patch(openai, '6.0.0');
  return { wrap: same, finish };
}

async function langfuse() {
  process.env.LANGFUSE_PUBLIC_KEY = 'pk-lf-dummy';
  process.env.LANGFUSE_SECRET_KEY = 'sk-lf-dummy';
  process.env.LANGFUSE_BASE_URL = SINK_URL;
  const { LangfuseSpanProcessor } = await import('@langfuse/otel');
  const { propagateAttributes } = await import('@langfuse/tracing');
  const { observeOpenAI } = await import('@langfuse/openai');
  const { CallbackHandler } = await import('@langfuse/langchain');
  const { finish } = setUp({ processors: [new LangfuseSpanProcessor({ exporter: exporter() })], alone: true });
  return {
    wrap: (client) => observeOpenAI(client), finish, callbacks: () => [new CallbackHandler()],
    inContext: (one) => propagateAttributes({ sessionId: SESSION, userId: USER, tags: ['corpus'] }, one),
  };
}

async function langsmith() {
  process.env.LANGSMITH_TRACING = 'true';
  process.env.LANGCHAIN_CALLBACKS_BACKGROUND = 'false';
  process.env.LANGSMITH_OTEL_ENABLED = 'true';
  process.env.LANGSMITH_API_KEY = 'dummy';
  process.env.LANGSMITH_PROJECT = 'travel';
  process.env.LANGSMITH_ENDPOINT = SINK_URL;
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = SINK_URL;
  process.env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT = `${SINK_URL}/v1/traces`;
  const { initializeOTEL } = await import('langsmith/experimental/otel/setup');
  const { wrapOpenAI } = await import('langsmith/wrappers');
  const { RunTree } = await import('langsmith');
  const { traceable } = await import('langsmith/traceable');
  const { DEFAULT_LANGSMITH_SPAN_PROCESSOR } = initializeOTEL({});
  return {
    wrap: (client) => wrapOpenAI(client),
    finish: async () => { await RunTree.getSharedClient().awaitPendingTraceBatches(); await new Promise((done) => setTimeout(done, 3000)); await DEFAULT_LANGSMITH_SPAN_PROCESSOR.shutdown(); },
    inContext: (one) => traceable(one, { name: 'travel', metadata: { session_id: SESSION, user_id: USER } })(),
    tool: (name, run) => traceable(run, { name, run_type: 'tool' }),
  };
}

async function openlit({ openai, anthropic }) {
  const module = await import('openlit');
  const Openlit = module.default.default ?? module.default;
  const instrumentations = { ...(openai && { openai }), ...(anthropic && { anthropic }) };
  Openlit.init({
    applicationName: 'travel-assistant', environment: 'test', otlpEndpoint: SINK_URL, captureMessageContent: CONTENT, disableMetrics: true, instrumentations,
    pricingJson: {}, customSpanAttributes: { 'session.id': SESSION },
  });
  return { wrap: same, finish: () => new Promise((done) => setTimeout(done, 6000)), Openlit };
}

async function laminar({ openai, anthropic }) {
  const { Laminar, observe } = await import('@lmnr-ai/lmnr');
  const url = new URL(SINK_URL);
  Laminar.initialize({
    projectApiKey: 'dummy', baseUrl: `${url.protocol}//${url.hostname}`, httpPort: Number(url.port), forceHttp: true,
    instrumentModules: { ...(openai && { OpenAI: openai.default }), ...(anthropic && { anthropic }) },
  });
  return {
    wrap: same, finish: () => Laminar.flush(), inContext: (one) => observe({ name: 'travel', sessionId: SESSION, userId: USER }, one),
    tool: (name, run) => (args) => observe({ name, spanType: 'TOOL', input: args }, async () => run(args)),
  };
}

async function none() {
  return { wrap: same, finish: setUp().finish };
}

const SETUPS = { openinference, traceloop, otel, langfuse, langsmith, openlit, laminar, none };

/** Set up what the environment names. */
export async function instrument(modules) {
  const made = await SETUPS[process.env.SETUP](modules);
  return { inContext: (one) => one(), tool: (_name, run) => run, callbacks: () => [], ...made };
}
