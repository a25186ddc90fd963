// Mastra with its own observability, in a folder of its own: its versions of the AI SDK and of zod are others.
import { createOpenAI } from '@ai-sdk/openai';
import { Agent } from '@mastra/core/agent';
import { Mastra } from '@mastra/core/mastra';
import { createTool } from '@mastra/core/tools';
import { Observability } from '@mastra/observability';
import { OtelExporter } from '@mastra/otel-exporter';
import { z } from 'zod';
import { OPENAI_MODEL, OPENAI_URL, SCENARIO, SESSION, SINK_URL, SYSTEM, USER, getWeather, runs } from '../programs/harness.mjs';

const weather = createTool({
  id: 'get_weather', description: 'Current weather of a city.', inputSchema: z.object({ city: z.string() }), outputSchema: z.object({ weather: z.string() }),
  execute: async (input) => ({ weather: getWeather(input.context ?? input) }),
});
const model = createOpenAI({ baseURL: OPENAI_URL, apiKey: 'dummy' }).chat(OPENAI_MODEL);
const agent = new Agent({ id: 'travel', name: 'travel', instructions: SYSTEM, model, tools: { get_weather: weather }, maxRetries: SCENARIO === 'S7' ? 0 : 2 });
const mastra = new Mastra({
  agents: { travel: agent }, logger: false,
  observability: new Observability({
    configs: { otel: { serviceName: 'travel-assistant', exporters: [new OtelExporter({ provider: { custom: { endpoint: `${SINK_URL}/v1/traces`, protocol: 'http/protobuf' } } })] } },
  }),
});

await runs(async (prompt) => {
  const options = { maxSteps: 8, tracingOptions: { metadata: { sessionId: SESSION, userId: USER } } };
  if (SCENARIO === 'S2') {
    const output = await mastra.getAgent('travel').stream(prompt, options);
    let text = '';
    for await (const piece of output.textStream) text += piece;
    return text;
  }
  return (await mastra.getAgent('travel').generate(prompt, options)).text;
}, async () => { await mastra.shutdown?.(); await new Promise((done) => setTimeout(done, 1500)); });
