// Google's Agent Development Kit over Gemini.
import { MODEL_URL, SCENARIO, SESSION, SYSTEM, USER, getWeather, runs, setUp } from './harness.mjs';
import { z } from 'zod';

const { finish } = setUp();
process.env.GOOGLE_GENAI_API_KEY = process.env.GEMINI_API_KEY = process.env.GOOGLE_API_KEY = 'dummy';
const { setDefaultBaseUrls } = await import('@google/genai');
setDefaultBaseUrls({ geminiUrl: MODEL_URL });
const { FunctionTool, Gemini, InMemoryRunner, LlmAgent } = await import('@google/adk');
const weather = new FunctionTool({ name: 'get_weather', description: 'Current weather of a city.', parameters: z.object({ city: z.string() }), execute: async (args) => ({ weather: getWeather(args) }) });
const agent = new LlmAgent({ name: 'travel', model: new Gemini({ model: 'gemini-2.5-flash', apiKey: 'dummy' }), instruction: SYSTEM, tools: ['S4', 'C1', 'S12', 'S8'].includes(SCENARIO) ? [weather] : [] });

await runs(async (prompt) => {
  const runner = new InMemoryRunner({ agent, appName: 'travel' });
  await runner.sessionService.createSession({ appName: 'travel', userId: USER, sessionId: SESSION });
  let text = '';
  for await (const event of runner.runAsync({ userId: USER, sessionId: SESSION, newMessage: { role: 'user', parts: [{ text: prompt }] } })) {
    text = event.content?.parts?.at(-1)?.text ?? text;
    if (event.errorMessage) console.error(event.errorMessage);
  }
  return text;
}, finish);
