// @ts-check
/** Reads `{modules, scripts: [{action, text}]}` from standard input, writes findings, one list a script. */
import { readFileSync } from 'node:fs';
import { shippedIn } from '../../script_worker/harness/modules.mjs';
import { RULES } from './rules.mjs';
import { NotJavaScript, Script } from './script.mjs';

const { modules, scripts } = JSON.parse(readFileSync(0, 'utf8'));
const shipped = shippedIn(modules);

const START = { line: 1, column: 0 };

/** @param {{line: number, column: number}} place @param {string} message */
function unreadable({ line, column }, message) {
  return { rule: 'syntax-error', line, column: column + 1, message };
}

/** @param {{action: string, text: string}} given */
function findingsOf({ action, text }) {
  let script;
  try {
    script = new Script(action, text);
  } catch (error) {
    if (error instanceof NotJavaScript) return [unreadable(error.loc, error.message)];
    if (error instanceof RangeError) return [unreadable(START, 'it is nested too deeply')];
    throw error;
  }
  const found = [];
  for (const [rule, judge] of Object.entries(RULES)) {
    for (const [node, message] of judge(script, shipped)) {
      const { line, column } = node.loc.start;
      const shift = line === 1 ? script.shift : 0;
      found.push({ rule, line, column: Math.max(1, column + 1 - shift), message });
    }
  }
  return found.sort((one, other) => one.line - other.line || one.column - other.column);
}

process.stdout.write(JSON.stringify(scripts.map(findingsOf)));
