// What the recorded programs share: the telemetry of the application, the tool, and the ends of a run.
import { logs, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { PROMPTS } from '../scenarios.mjs';

export { SYSTEM } from '../scenarios.mjs';
export const { SCENARIO, MODEL_URL, SINK_URL, PROVIDER = 'openai', VARIANT = '' } = process.env;
export const CONTENT = process.env.CONTENT !== 'off';
export const PROMPT = PROMPTS[SCENARIO];
export const OPENAI_URL = `${MODEL_URL}/v1`;
export const OPENAI_MODEL = ['S5', 'C1'].includes(SCENARIO) ? 'o4-mini' : 'gpt-4o-mini';
export const MODEL = PROVIDER === 'anthropic' ? 'claude-sonnet-4-5' : OPENAI_MODEL;
export const SESSION = 'session-4711';
export const USER = 'user-42';
export const DOCUMENTS = ['The museum opens at nine and closes at six.', 'The train to Berlin leaves at ten past seven.'];

export function getWeather({ city }) {
  if (city === 'Atlantis') throw new Error('no weather station in Atlantis');
  return { Paris: '21 degrees, wind from the west', Berlin: '17 degrees, clouds' }[city] ?? 'mild and dry';
}

export const exporter = () => new OTLPTraceExporter({ url: `${SINK_URL}/v1/traces` });

/** The application's own OpenTelemetry, with `processors` beside or (`alone`) instead of its exporter. */
export function setUp({ processors = [], alone = false, attributes = {} } = {}) {
  const resource = resourceFromAttributes({ 'service.name': 'travel-assistant', ...attributes });
  const own = alone ? [] : [new BatchSpanProcessor(exporter(), { scheduledDelayMillis: 120, maxExportBatchSize: 16 })];
  const provider = new NodeTracerProvider({ resource, spanProcessors: [...processors, ...own] });
  provider.register({ contextManager: new AsyncLocalStorageContextManager().enable() });
  const loggers = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter({ url: `${SINK_URL}/v1/logs` }) })] });
  logs.setGlobalLoggerProvider(loggers);
  return { provider, loggers, finish: async () => { await provider.forceFlush(); await loggers.forceFlush(); } };
}

/** Run `one` as often as the scenario has runs (three at once in S10), in a span of the application where wanted; errors are the scenario's. */
export async function runs(one, finish) {
  const prompts = SCENARIO === 'S10' ? [0, 1, 2].map((at) => `${PROMPT} (traveller ${at})`) : [PROMPT];
  const inSpan = (prompt) => (process.env.APP_SPAN
    ? trace.getTracer('travel-assistant').startActiveSpan('handle request', async (span) => { try { return await one(prompt); } finally { span.end(); } })
    : one(prompt));
  const ends = await Promise.allSettled(prompts.map(inSpan));
  for (const end of ends) {
    if (end.status === 'rejected') console.error('FAILED', end.reason?.message?.slice(0, 300), SCENARIO === 'S7' ? '' : end.reason?.stack);
    else console.log(JSON.stringify(end.value));
  }
  await finish();
  setTimeout(() => process.exit(0), 200);
}
