/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: the workflows that tests run, in React Flow's shape. */

export interface Node {
  id: string;
  type: string;
  position?: { x: number; y: number };
  data?: Record<string, unknown>;
  [field: string]: unknown;
}

export interface Edge {
  id: string;
  source: string;
  target: string;
  sourceHandle?: string | null;
  targetHandle?: string | null;
  [field: string]: unknown;
}

export interface Graph {
  nodes: Node[];
  edges: Edge[];
  [field: string]: unknown;
}

export function node(id: string, type: string, data: Record<string, unknown> = {}): Node {
  return { id, type, position: { x: 0, y: 0 }, data };
}

/* "a:text -> b:query"; the handles may be left out. */
export function edge(text: string): Edge {
  const match = /^(\w+)(?::(\w+))? -> (\w+)(?::(\w+))?$/.exec(text);
  if (!match) throw new Error(`not an edge: ${text}`);
  const [, source, sourceHandle, target, targetHandle] = match;
  return {
    id: text.replaceAll(/\W+/g, '-'), source: source!, target: target!,
    sourceHandle: sourceHandle ?? null, targetHandle: targetHandle ?? null,
  };
}

export function graph(nodes: Node[], edges: string[]): Graph {
  return { nodes, edges: edges.map(edge) };
}

type Data = Record<string, unknown>;

/* question -> llm -> answer. */
export function llmGraph(data: Data, outputData: Data = {}): Graph {
  return graph(
    [node('question', 'userQuery'), node('llm', 'llmEngine', data), node('answer', 'output', outputData)],
    ['question:text -> llm:query', 'llm:answer -> answer:input'],
  );
}

/* question -> knowledge -> llm -> answer, the main job. */
export function documentGraph(llmData: Data = { provider: 'local' }, knowledgeData: Data = {}): Graph {
  return graph(
    [
      node('question', 'userQuery'), node('knowledge', 'knowledgeBase', knowledgeData),
      node('llm', 'llmEngine', llmData), node('answer', 'output'),
    ],
    [
      'question:text -> knowledge:query', 'question:text -> llm:query',
      'knowledge:context -> llm:context', 'llm:answer -> answer:input',
    ],
  );
}

/* question -> search -> answer. */
export function searchGraph(data: Data): Graph {
  return graph(
    [node('question', 'userQuery'), node('search', 'webSearch', data), node('answer', 'output')],
    ['question:text -> search:query', 'search:results -> answer:input'],
  );
}

/* question -> search -> llm -> answer. */
export function researchGraph(llmData: Data, searchData: Data): Graph {
  return graph(
    [
      node('question', 'userQuery'), node('search', 'webSearch', searchData),
      node('llm', 'llmEngine', llmData), node('answer', 'output'),
    ],
    [
      'question:text -> search:query', 'question:text -> llm:query',
      'search:results -> llm:context', 'llm:answer -> answer:input',
    ],
  );
}

/* question -> first -> second -> answer: two model calls in a row. */
export function chainGraph(first: Data, second: Data): Graph {
  return graph(
    [node('question', 'userQuery'), node('first', 'llmEngine', first), node('second', 'llmEngine', second), node('answer', 'output')],
    ['question:text -> first:query', 'first:answer -> second:query', 'second:answer -> answer:input'],
  );
}

export function stepOf(execution: any, nodeId: string): any {
  const step = execution.steps.find((item: any) => item.node_id === nodeId);
  if (!step) throw new Error(`no step ${nodeId} in ${JSON.stringify(execution.steps)}`);
  return step;
}
