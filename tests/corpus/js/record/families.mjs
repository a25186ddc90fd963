// The captures: a program, its environment, and the scenarios; a name is `family__library__instrumentation__scenario[.variant]`.
const vercel = (version, mode, scenarios, more = {}) => ({
  name: `${mode === 'new' ? 'vercel-new' : 'vercel'}__ai${version}-openai__${mode === 'new' ? 'ai-sdk-otel' : 'ai-sdk-legacy'}`, program: 'vercel.mjs', dialect: 'vercel',
  library: `ai${version}`, ...(version === 7 && { instrumentation: '@ai-sdk/otel' }), env: { AI: String(version), MODE: mode }, session: 'session-4711', scenarios, ...more,
});
const claude = (family) => ({ ...family, name: family.name.replace('-openai', '-anthropic'), provider: 'anthropic' });
const ALL = ['S1', 'S2', 'S4', 'S4.nocontent', 'S5', 'S6', 'S7', 'S11', 'S12', 'C1', 'object'];

export const FAMILIES = [
  vercel(4, 'legacy', ALL), vercel(5, 'legacy', ALL), vercel(6, 'legacy', [...ALL, 'S4.stream', 'S4.responses', 'S8', 'S10', 'approved', 'refused']),
  vercel(7, 'legacy', ALL), vercel(7, 'new', [...ALL, 'S4.supplemental', 'C1.supplemental', 'S4.stream', 'S4.responses', 'S8', 'S10', 'approved', 'refused']),
  claude(vercel(4, 'legacy', ['S1', 'S4', 'S5', 'C1'])), claude(vercel(5, 'legacy', ['S1', 'S2', 'S4', 'S5', 'C1'])),
  claude(vercel(6, 'legacy', ['S1', 'S2', 'S4', 'S5', 'C1'])), claude(vercel(7, 'new', ['S1', 'S2', 'S4', 'S5', 'C1'])),
];
