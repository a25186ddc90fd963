// A tiny MCP server over standard input and output with one tool, for captures in which an agent calls a tool of a server.
import { createInterface } from 'node:readline';

const TOOL = {
  name: 'get_weather', description: 'The weather of a city',
  inputSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};
const send = (id, result) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\n');

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  if (method === 'initialize') send(id, { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'weather', version: '1.0.0' } });
  else if (method === 'tools/list') send(id, { tools: [TOOL] });
  else if (method === 'tools/call') send(id, { content: [{ type: 'text', text: `${params.arguments.city}: sunny, 21 degrees` }] });
  else if (id !== undefined) send(id, {});
});
