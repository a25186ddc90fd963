// Genkit: a flow that generates with a tool, over an OpenAI-compatible plugin.
import { OTLPTraceExporter } from 'otlp-proto-old';
import { BatchSpanProcessor } from 'sdk-trace-old';
import { OPENAI_MODEL, OPENAI_URL, SCENARIO, SINK_URL, SYSTEM, DOCUMENTS, getWeather, runs } from './harness.mjs';

process.env.GENKIT_ENV = 'prod';
const { genkit, z } = await import('genkit');
const { enableTelemetry, flushTracing } = await import('genkit/tracing');
const { openAI } = await import('@genkit-ai/compat-oai/openai');
// It brings an older OpenTelemetry of its own, whose spans need an exporter of that age.
enableTelemetry({ serviceName: 'travel-assistant', spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${SINK_URL}/v1/traces` }))] });

const ai = genkit({ plugins: [openAI({ apiKey: 'dummy', baseURL: OPENAI_URL, maxRetries: SCENARIO === 'S7' ? 0 : 2 })], model: openAI.model(OPENAI_MODEL) });
const weather = ai.defineTool(
  { name: 'get_weather', description: 'Current weather of a city.', inputSchema: z.object({ city: z.string() }), outputSchema: z.string() },
  async (args) => getWeather(args),
);
const tools = ['S4', 'S8', 'S12', 'C1'].includes(SCENARIO) ? { tools: [weather], maxTurns: 8 } : {};

const travel = ai.defineFlow({ name: 'travel', inputSchema: z.string(), outputSchema: z.string() }, async (prompt) => {
  if (SCENARIO === 'S11') {
    for (const content of DOCUMENTS) await ai.embed({ embedder: openAI.embedder('text-embedding-3-small'), content });
  }
  if (SCENARIO === 'S2') {
    const { stream, response } = ai.generateStream({ system: SYSTEM, prompt, ...tools });
    let text = '';
    for await (const piece of stream) text += piece.text;
    await response;
    return text;
  }
  if (SCENARIO === 'object') {
    const { output } = await ai.generate({ system: SYSTEM, prompt, output: { schema: z.object({ city: z.string(), degrees: z.number() }) } });
    return JSON.stringify(output);
  }
  return (await ai.generate({ system: SYSTEM, prompt, ...tools })).text;
});

await runs((prompt) => travel(prompt), async () => { await flushTracing?.(); await new Promise((done) => setTimeout(done, 1500)); });
