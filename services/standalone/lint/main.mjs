// @ts-check
/** Reads `{modules, scripts: [{action, text}]}` from standard input, writes findings, one list a script. */
import { readFileSync } from 'node:fs';
import { shippedIn } from '../../script_worker/harness/modules.mjs';
import { judge } from './rules.mjs';
import { NotJavaScript, Script } from './script.mjs';

const { modules, scripts } = JSON.parse(readFileSync(0, 'utf8'));
const shipped = shippedIn(modules);
const MAX_MESSAGE = 500; // a name from the script may be as long as the script

/** @param {{action: string, text: string}} given */
function findingsOf({ action, text }) {
  const found = [];
  try {
    const script = new Script(action, text);
    for (const [rule, node, message] of judge(script, shipped)) {
      const { line, column } = node.loc.start;
      const shift = line === 1 ? script.shift : 0;
      found.push({ rule, line, column: Math.max(1, column + 1 - shift), message });
    }
  } catch (thrown) {
    const deep = thrown instanceof RangeError; // our own stack ended, in whatever walked the tree
    if (!deep && !(thrown instanceof NotJavaScript)) throw thrown;
    const { message, loc } = deep ? new NotJavaScript(thrown) : thrown;
    found.splice(0, Infinity, { ...loc, rule: 'syntax-error', column: loc.column + 1, message });
  }
  found.sort((one, other) => one.line - other.line || one.column - other.column);
  return found.map(({ rule, line, column, message }) => {
    return { rule, line, column, message: message.slice(0, MAX_MESSAGE).toWellFormed() };
  });
}

process.stdout.write(JSON.stringify(scripts.map(findingsOf)));
