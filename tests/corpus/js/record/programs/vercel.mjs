// The AI SDK of Vercel, versions 4 to 7: MODE legacy spans or, from 7 on, the new ones.
import { z } from 'zod';
import { CONTENT, DOCUMENTS, MODEL, MODEL_URL, OPENAI_URL, PROVIDER, SCENARIO, SESSION, SYSTEM, USER, VARIANT, exporter, getWeather, runs, setUp } from './harness.mjs';

const { AI = '6', MODE = 'legacy' } = process.env;
const ai = await import(`ai${AI}`);
const { createOpenAI } = await import(`openai${AI}sdk`);
const { createAnthropic } = await import(`anthropic${AI}sdk`);
// Arize's converter writes OpenInference's attributes beside the SDK's own, on the same spans.
const converter = VARIANT.includes('openinference') ? new (await import('@arizeai/openinference-vercel')).OpenInferenceSimpleSpanProcessor({ exporter: exporter() }) : null;
const { finish } = setUp(converter ? { processors: [converter], alone: true } : {});

if (AI === '7') {
  const { LegacyOpenTelemetry, OpenTelemetry } = await import('@ai-sdk/otel');
  ai.registerTelemetry(MODE === 'legacy' ? new LegacyOpenTelemetry() : new OpenTelemetry(VARIANT === 'supplemental' ? { usage: true, providerMetadata: true, runtimeContext: true } : {}));
}

const openai = createOpenAI({ baseURL: OPENAI_URL, apiKey: 'dummy', compatibility: 'strict' });
const anthropic = createAnthropic({ baseURL: `${MODEL_URL}/v1`, apiKey: 'dummy' });
const model = PROVIDER === 'anthropic' ? anthropic(MODEL) : VARIANT.includes('responses') ? openai.responses(MODEL) : openai.chat(MODEL);

const recording = { isEnabled: true, functionId: 'travel-assistant', recordInputs: CONTENT, recordOutputs: CONTENT };
const context = { sessionId: SESSION, userId: USER };
const telemetry = AI === '7'
  ? { telemetry: { ...recording, includeRuntimeContext: { sessionId: true, userId: true } }, runtimeContext: context }
  : { experimental_telemetry: { ...recording, metadata: context } };
const asked = ['approved', 'refused'].includes(SCENARIO);
const schema = z.object({ city: z.string().describe('Name of the city.') });
const tools = {
  get_weather: ai.tool({
    description: 'Current weather of a city.', [AI === '4' ? 'parameters' : 'inputSchema']: schema, execute: async (input) => getWeather(input),
    ...(asked && AI === '6' && { needsApproval: true }),
  }),
};
const limit = AI === '4' ? { maxSteps: 8 } : { stopWhen: (AI === '7' ? ai.isStepCount ?? ai.stepCountIs : ai.stepCountIs)(8) };
const system = AI === '7' ? { instructions: SYSTEM } : { system: SYSTEM };
const common = { model, ...system, ...telemetry, maxRetries: SCENARIO === 'S7' ? 0 : 2 };

async function generate(prompt) {
  const looping = ['S4', 'S8', 'S10', 'S12', 'C1'].includes(SCENARIO) ? { tools, ...limit } : {};
  return (await ai.generateText({ ...common, ...looping, prompt })).text;
}

async function stream(prompt) {
  const looping = ['S4', 'C1'].includes(SCENARIO) ? { tools, ...limit } : {};
  const result = ai.streamText({ ...common, ...looping, prompt });
  let text = '';
  for await (const piece of result.textStream) text += piece;
  return text;
}

async function object(prompt) {
  const result = await ai.generateObject({ ...common, ...(AI === '4' && { mode: 'json' }), prompt, schema: z.object({ city: z.string(), degrees: z.number() }) });
  return result.object;
}

async function rag(prompt) {
  const embedder = openai.embedding ? openai.embedding('text-embedding-3-small') : openai.textEmbeddingModel('text-embedding-3-small');
  await ai.embedMany({ model: embedder, values: DOCUMENTS, ...telemetry });
  return generate(prompt);
}

/** A tool that needs somebody's approval: the answer of that person goes into a second call. */
async function approve(prompt) {
  const messages = [{ role: 'user', content: prompt }];
  const options = { ...common, tools, ...limit, ...(AI === '7' && { toolApproval: { get_weather: 'user-approval' } }) };
  const first = await ai.generateText({ ...options, messages });
  const requests = first.content.filter((part) => part.type === 'tool-approval-request');
  messages.push(...(first.responseMessages ?? first.response.messages));
  messages.push({
    role: 'tool',
    content: requests.map(({ approvalId }) => ({ type: 'tool-approval-response', approvalId, approved: SCENARIO === 'approved', reason: SCENARIO === 'approved' ? undefined : 'not now' })),
  });
  return (await ai.generateText({ ...options, messages })).text;
}

const one = asked ? approve : SCENARIO === 'object' ? object : SCENARIO === 'S11' ? rag : ['S2', 'S3'].includes(SCENARIO) || VARIANT.includes('stream') ? stream : generate;
await runs(one, finish);
