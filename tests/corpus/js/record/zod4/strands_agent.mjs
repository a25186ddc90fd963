// In a folder of its own because it needs another version of zod. The agents library of Strands over OpenAI or Anthropic. Its own event loop spans.
import { z } from 'zod';
import { MODEL, MODEL_URL, OPENAI_MODEL, OPENAI_URL, PROVIDER, SCENARIO, SESSION, SYSTEM, getWeather, runs, setUp } from '../programs/harness.mjs';

const { finish } = setUp();
const { Agent, tool } = await import('@strands-agents/sdk');
const weather = tool({ name: 'get_weather', description: 'Current weather of a city.', inputSchema: z.object({ city: z.string() }), callback: (args) => getWeather(args) });

async function model() {
  if (PROVIDER === 'anthropic') {
    const { AnthropicModel } = await import('@strands-agents/sdk/models/anthropic');
    return new AnthropicModel({ modelId: MODEL, maxTokens: 1024, apiKey: 'dummy', clientConfig: { baseURL: MODEL_URL } });
  }
  const { OpenAIModel } = await import('@strands-agents/sdk/models/openai');
  return new OpenAIModel({ api: 'chat', modelId: OPENAI_MODEL, apiKey: 'dummy', clientConfig: { baseURL: OPENAI_URL, maxRetries: SCENARIO === 'S7' ? 0 : 2 } });
}

await runs(async (prompt) => {
  const agent = new Agent({ name: 'travel', model: await model(), tools: [weather], systemPrompt: SYSTEM, printer: false, traceAttributes: { 'session.id': SESSION } });
  const result = await agent.invoke(prompt);
  return result.lastMessage?.content?.at(-1)?.text;
}, finish);
