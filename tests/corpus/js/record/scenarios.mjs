// What the scripted model server says in each scenario; the same conversations as for the Python libraries.
const _ = (input, output, cacheRead = 0, other = 0, writes = false) => ({
  input, output, cacheRead, cacheWrite: writes ? other : 0, reasoning: writes ? 0 : other,
});
const weather = (city) => ({ name: 'get_weather', args: { city } });
const loop = (counts, cities, text) => counts.map((usage, at) => (at < cities.length ? { tools: [weather(cities[at])], usage } : { text, usage }));
const WARM = 'Paris is warmer: 21 degrees, against 17 in Berlin.';

export const SYSTEM = 'You are a travel assistant. Answer in one sentence.';
export const PROMPTS = {
  S1: 'What is the weather in Paris?', S2: 'What is the weather in Paris, and tomorrow?', S3: 'What is the weather in Berlin?',
  S4: 'Which is warmer today, Paris or Berlin?', S5: 'Train or plane from Paris to Berlin? Think about it.', S6: 'What is the weather in Paris?',
  S7: 'What is the weather in Paris?', S8: 'Keep asking for the weather in Paris until it changes.', S9: 'Let the expert tell me the weather in Paris.',
  S10: 'How is the weather?', S11: 'When does the museum open?', S12: 'What is the weather in Atlantis?', C1: 'Which is warmer today, Paris or Berlin?',
  object: 'What is the weather in Paris?', approved: 'What is the weather in Paris?', refused: 'What is the weather in Paris?',
};

/** The replies of one run. `provider` openai or anthropic: the one reports reasoning, the other what was written to the cache. */
export function script(scenario, provider = 'openai', run = 0) {
  const writes = provider === 'anthropic';
  switch (scenario) {
    case 'S1': return [{ text: 'It is 21 degrees in Paris, with a light wind from the west.', usage: _(1481, 73) }];
    case 'S2': return [{ text: 'In Paris it is 21 degrees and sunny. Tomorrow will be a little cooler.', usage: _(1553, 83) }];
    case 'S3': return [{ text: 'Berlin has 17 degrees and some clouds, and it stays dry until the evening.', usage: _(1619, 89) }];
    case 'S4': return loop([_(907, 43), _(1019, 47), _(1151, 59)], ['Paris', 'Berlin'], WARM);
    case 'S5': return [{ text: 'Take the train: it needs eight hours and is cheaper.', usage: _(2749, 521, 1792, 384, writes) }];
    case 'S6': return [{ status: 429 }, { text: 'After a moment: it is 21 degrees in Paris.', usage: _(1283, 67) }];
    case 'S7': return [{ status: 500 }];
    case 'S8': return loop([701, 797, 887, 983, 1087, 1181].map((input, at) => _(input, at < 5 ? 23 : 79)), Array(5).fill('Paris'), 'The weather service keeps saying the same: 21 degrees in Paris.');
    case 'S10': {
      const base = 1200 + 300 * run;
      const city = ['Paris', 'Berlin', 'Oslo', 'Rome'][run];
      return loop([_(base + 7, 41 + run), _(base + 131, 61 + run)], [city], `${city}: mild and dry.`);
    }
    case 'S11': return [{ text: 'According to the guide the museum opens at nine.', usage: _(1093, 61) }];
    case 'S12': return loop([_(911, 37), _(1033, 101)], ['Atlantis'], 'There is no weather station in that place.');
    case 'C1': return loop([_(2203, 311, 1024, 192, writes), _(2621, 283, 2048, 128, writes), _(2917, 401, 2560, 256, writes)], ['Paris', 'Berlin'], WARM);
    case 'object': return [{ text: '{"city":"Paris","degrees":21}', usage: _(1481, 73) }];
    case 'approved': case 'refused': return loop([_(907, 43), _(1151, 59)], ['Paris'], scenario === 'approved' ? 'It is 21 degrees in Paris.' : 'I could not look.');
    default: throw new Error(`no scenario ${scenario}`);
  }
}

/** S9: the first agent hands over with the tool the library offers for it, the second answers. */
export const handover = (name, args = {}) => [
  { tools: [{ name, args }], usage: _(823, 31) },
  { text: 'As the expert: it is 21 degrees in Paris.', usage: _(937, 71) },
  { text: 'The expert says: 21 degrees in Paris.', usage: _(1049, 53) },
];

export const EMBEDDED = { input: 211, output: 0, cacheRead: 0, cacheWrite: 0, reasoning: 0 };
